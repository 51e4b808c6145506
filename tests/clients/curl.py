"""curl, for those who write their own scripts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.mirror_server import URL
from tests.clients.programs import Finished, clean_environment, find_program, run

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True, slots=True)
class Curl:
    folder: Path

    async def command(self, *arguments: str) -> Finished:
        options = ("--silent", "--show-error", "--fail", "--header", f"Accept: {ACCEPT}")
        self.folder.mkdir(exist_ok=True)
        argv = (find_program("curl"), *options, *arguments)
        return await run(argv, clean_environment(self.folder))

    async def headers(self, path: str, *arguments: str) -> dict[str, str]:
        """The headers of the answer, by name in lower case, after a HEAD."""
        output = (await self.command("--head", *arguments, URL + path)).checked().output
        lines = [line.partition(":") for line in output.splitlines() if ":" in line]
        return {name.lower(): value.strip() for name, _, value in lines}

    async def download(self, path: str, to: str, *arguments: str) -> Finished:
        return await self.command(*arguments, "--output", str(self.folder / to), URL + path)

    async def image(self, name: str, reference: str) -> None:
        """Everything of an image, the blobs at once, as a small script would."""
        manifest = await self._manifest(name, reference)
        if "manifests" in manifest:
            manifest = await self._manifest(name, manifest["manifests"][-1]["digest"])
        for described in (manifest["config"], *manifest["layers"]):
            digest = described["digest"]
            (await self.download(f"/v2/{name}/blobs/{digest}", digest)).checked()

    async def _manifest(self, name: str, reference: str) -> dict[str, Any]:
        found = await self.command(f"{URL}/v2/{name}/manifests/{reference}")
        manifest: dict[str, Any] = json.loads(found.checked().output)
        return manifest
