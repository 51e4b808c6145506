"""oras and crane: they speak to registries, keep logins, and have no daemon and no store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.programs import Finished, clean_environment, find_program, find_tool, run

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Oras:
    """Runs in its folder: names of files are part of what it pushes."""

    folder: Path

    async def command(self, *arguments: str) -> Finished:
        env = clean_environment(self.folder)
        there = (find_program("env"), "--chdir", str(self.folder))
        return await run((*there, find_tool("oras"), *arguments), env)

    async def attach(self, subject: str, kind: str, file: str) -> str:
        """The digest of what was attached."""
        exported = ("--export-manifest", "attached.json")
        options = ("--plain-http", "--artifact-type", kind, *exported)
        done = (await self.command("attach", *options, subject, file)).checked()
        return done.output.strip().rpartition("Digest: ")[2]

    async def discover(self, subject: str, *options: str) -> list[Json]:
        """The descriptors of what refers to it, from the API and nothing in its place."""
        api = ("--plain-http", "--distribution-spec", "v1.1-referrers-api", "-o", "json")
        found = (await self.command("discover", *api, *options, subject)).checked()
        manifests: list[Json] = json.loads(found.output)["manifests"] or []
        return manifests


@dataclass(frozen=True, slots=True)
class Crane:
    folder: Path

    async def command(self, *arguments: str) -> Finished:
        return await run((find_tool("crane"), *arguments), clean_environment(self.folder))

    async def lines(self, *arguments: str) -> list[str]:
        """What it printed."""
        return (await self.command(*arguments)).checked().output.split()
