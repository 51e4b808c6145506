"""What a crash leaves behind: nothing half stored, nothing lost that was acknowledged.

Killing a process shows what is seen too early; that it is durable follows from the order of the
system calls, which is looked at separately.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import FrameType

import pytest

from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, listed, stored
from tests.requirements import needs_strace
from tests.storage.scenarios import (
    LAYER,
    LAYER_DIGEST,
    MANIFEST,
    MANIFEST_DIGEST,
    MANIFEST_SHA512,
    fill,
    live,
    open_store,
)

CONTENTS = {LAYER_DIGEST: LAYER, MANIFEST_DIGEST: MANIFEST, MANIFEST_SHA512: MANIFEST}
SCENARIOS = [sys.executable, "-m", "tests.storage.scenarios"]
SHARD = f"blobs/sha256/{LAYER_DIGEST.encoded[:2]}"
BLOB = f"{SHARD}/{LAYER_DIGEST.encoded}"


async def test_a_kill_at_any_step_leaves_nothing_half_stored(tmp_path: Path) -> None:
    killed_at = kill_everywhere(tmp_path)

    assert set(killed_at) == {
        "ingest.created",
        "ingest.written",
        "publish.verified",
        "publish.sealed",
        "publish.synced",
        "publish.renamed",
        "publish.folder_synced",
        "delete.unlinked",
    }
    for life in range(len(killed_at)):
        root = tmp_path / str(life)
        await look_after_the_crash(root, root.with_suffix(".said").read_text().splitlines())


def kill_everywhere(base: Path) -> list[str]:
    """The checkpoints in their order."""
    command = [*SCENARIOS, "kill_everywhere", str(base)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


async def look_after_the_crash(root: Path, said: list[str]) -> None:
    FilesystemBlobStore.prepare(root)
    store = open_store(root)
    for digest in await listed(store):
        assert await stored(store, digest) == CONTENTS[digest]
    for line in said:
        verb, digest_text = line.split()
        if verb == "stored" and f"leaving {digest_text}" not in said:
            assert digest_text in map(str, await listed(store))
    for ingest in (root / "ingest").glob("[!.]*"):
        assert LAYER.startswith(ingest.read_bytes())

    await live(store, lambda _: None)

    assert await listed(store) == [LAYER_DIGEST]
    assert await stored(store, LAYER_DIGEST) == LAYER
    await store.sweep_ingests(SetClock().now() + timedelta(days=1))
    assert list((root / "ingest").iterdir()) == []


def traced(scenario: str, root: Path, *options: str | Path) -> list[str]:
    """The lines that a scenario says while it is traced."""
    command: list[str | Path] = ["strace", "-qq", "-f", "-y", *options]
    command += [*SCENARIOS, scenario, root]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@needs_strace
def test_bytes_are_durable_before_their_name_and_their_name_before_the_answer(
    tmp_path: Path,
) -> None:
    calls = "pwritev2,fsync,fdatasync,fchmod,rename,renameat,renameat2,mkdir,unlink,write"
    root, trace = tmp_path / "data", tmp_path / "trace"
    FilesystemBlobStore.prepare(root)

    traced("publish", root, "-o", trace, "-e", f"trace={calls}")

    assert steps(trace, root) == [
        "pwritev2 ingest/fill",
        "pwritev2 ingest/fill",
        "pwritev2 ingest/fill",
        "fchmod ingest/fill",
        "fsync ingest/fill",
        "mkdir blobs/sha256",
        "fsync blobs",
        f"mkdir {SHARD}",
        "fsync blobs/sha256",
        f"rename ingest/fill {BLOB}",
        f"fsync {SHARD}",
        "write stored",
    ]


def steps(trace: Path, root: Path) -> list[str]:
    """The calls that concern the store or the answer, with paths relative to the store."""
    found = []
    for line in trace.read_text().splitlines():
        call = line.split(maxsplit=1)[1].partition("(")[0]
        paths = re.findall(rf'[<"]{re.escape(str(root))}/([^>"]*)[>"]', line)
        if paths:
            found.append(" ".join([call, *paths]))
        elif call == "write" and '"stored' in line:
            found.append("write stored")
    return found


class CallLog:
    """The names of the calls in one thread, where nothing can be traced."""

    NAMES = frozenset({"pwritev", "fchmod", "fsync", "mkdir", "rename", "unlink"})

    def __init__(self) -> None:
        self.calls: list[str] = []

    def record(self, _frame: FrameType, event: str, argument: object) -> None:
        name = getattr(argument, "__name__", "")
        if event == "c_call" and name in self.NAMES:
            self.calls.append(name)

    def executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, initializer=sys.setprofile, initargs=(self.record,))


async def test_the_calls_come_in_order(tmp_path: Path) -> None:
    log = CallLog()
    FilesystemBlobStore.prepare(tmp_path)
    with log.executor() as executor:
        await fill(FilesystemBlobStore(tmp_path, SetClock(), executor), "fill")

    assert log.calls == [
        *["pwritev", "pwritev", "pwritev", "fchmod", "fsync"],
        *["mkdir", "fsync", "mkdir", "fsync", "rename", "fsync"],
    ]


async def test_a_blob_that_is_there_is_durable_before_its_copy_goes(tmp_path: Path) -> None:
    log = CallLog()
    FilesystemBlobStore.prepare(tmp_path)
    with log.executor() as executor:
        store = FilesystemBlobStore(tmp_path, SetClock(), executor)
        await fill(store, "fill")
        log.calls.clear()
        await fill(store, "again")

    assert log.calls[-3:] == ["fsync", "fsync", "unlink"]


@needs_strace
@pytest.mark.parametrize(
    ("call", "count", "error"),
    [
        ("pwritev2", 1, "EIO"),
        ("pwritev2", 3, "ENOSPC"),
        ("fchmod", 1, "EROFS"),
        ("fsync", 1, "EIO"),
        ("fsync", 2, "EIO"),
        ("fsync", 3, "EDQUOT"),
        ("fsync", 4, "EIO"),
        ("mkdir", 2, "ENOSPC"),
        ("rename", 1, "ENOSPC"),
    ],
)
def test_any_call_may_fail_once(tmp_path: Path, call: str, count: int, error: str) -> None:
    root = tmp_path / "data"
    FilesystemBlobStore.prepare(root)
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={count}"]

    [failure] = traced("publish_in_spite_of_errors", root, "-o", "/dev/null", *inject)

    assert failure.startswith("cannot ")
    assert str(tmp_path) not in failure
    assert (root / BLOB).read_bytes() == LAYER
    assert list((root / "ingest").iterdir()) == []
