"""`python -m tests.oci_suite PROGRAM` runs the official conformance suite against a new server.

Three runs: pushing to hosted repositories as of version 1.1 and of the coming one, and reading
a proxied repository. Prints how many checks ended how, and exits with 1 unless all passed.
https://github.com/opencontainers/distribution-spec/tree/main/conformance tells how to build the
program.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.load import fetch
from bench.peers import mirror
from bench.world import Upstream, upstream

IMAGE = "library/suite"
HOSTED = ("conformance/suite/one", "conformance/suite/two")
WITHIN = 600.0
COUNT = re.compile(r"^  (Disabled|Skip|Pass|FAIL|Error)\.+:\s+([0-9]+)$", re.MULTILINE)
BAD = ("Skip", "FAIL", "Error")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite: its name and the settings that make it."""

    name: str
    settings: Mapping[str, str]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.oci_suite", description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--results", type=Path, help="a folder to leave the suite's reports in")
    return parser.parse_args()


async def main(program: Path, results: Path) -> int:
    failed = False
    async with (
        upstream("--image", f"{IMAGE}:1=100K,200K") as hub,
        mirror(results / "server", hub.origin) as server,
    ):
        content = await _read_only(server.url, hub)
        for run in (*_pushing(), content):
            folder = results / run.name
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            counts, passed = await _run(program, server.url, run, folder)
            failed = failed or not passed
            sys.stdout.write(f"{run.name}: {_told(counts)}\n")
    return 1 if failed else 0


def _pushing() -> tuple[Run, ...]:
    repositories = {"OCI_REPO1": HOSTED[0], "OCI_REPO2": HOSTED[1]}
    versions = ("1.1", "dev")
    return tuple(Run(v, {"OCI_VERSION": v, **repositories}) for v in versions)


async def _read_only(url: str, hub: Upstream) -> Run:
    base = f"{url}/v2/{IMAGE}"
    index = json.loads(await fetch(f"{base}/manifests/1"))
    child = index["manifests"][0]["digest"]
    manifest = json.loads(await fetch(f"{base}/manifests/{child}"))
    blobs = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    return Run(
        "read-only",
        {
            "OCI_VERSION": "1.1",
            "OCI_API_PUSH": "false",
            **{f"OCI_API_{kind}_DELETE": "false" for kind in ("BLOBS", "MANIFESTS", "TAGS")},
            "OCI_REPO1": IMAGE,
            "OCI_REPO2": IMAGE,
            "OCI_RO_DATA_TAGS": "1",
            "OCI_RO_DATA_MANIFESTS": f"{hub.images[f'{IMAGE}:1']} {child}",
            "OCI_RO_DATA_BLOBS": " ".join(blobs),
            "OCI_RO_DATA_REFERRERS": child,
        },
    )


async def _run(program: Path, url: str, run: Run, results: Path) -> tuple[Mapping[str, int], bool]:
    settings = {
        "OCI_REGISTRY": urlsplit(url).netloc,
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(results),
        **run.settings,
    }
    with (results / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, cwd=results, env={**os.environ, **settings}, stdout=output, stderr=output
        )
        async with asyncio.timeout(WITHIN):
            await process.wait()
    counts = _counts((results / "output").read_text(encoding="utf-8"))
    return counts, counts.get("Pass", 0) > 0 and not any(counts.get(bad) for bad in BAD)


def _counts(told: str) -> Mapping[str, int]:
    """How many of the suite's checks ended how, as its summary says.

    Its status and its reports tell less: having read only, it breaks down while it writes them.
    """
    return {kind: int(count) for kind, count in COUNT.findall(told)}


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "broke down"


if __name__ == "__main__":
    options = arguments()
    if options.results is not None:
        sys.exit(asyncio.run(main(options.program.absolute(), options.results.absolute())))
    with tempfile.TemporaryDirectory(prefix="mirror-suite-") as folder:
        sys.exit(asyncio.run(main(options.program.absolute(), Path(folder))))
