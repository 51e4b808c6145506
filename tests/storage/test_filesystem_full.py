"""Disks that are full, out of inodes or read-only: real ones, each in a process of its own."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = [sys.executable, "-m", "tests.storage.scenarios"]


def can_mount(namespace: list[str]) -> bool:
    attempt = [*namespace, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(attempt, check=False, capture_output=True).returncode == 0


def find_namespace() -> list[str] | None:
    """How to get a mount namespace of our own: root has it easier."""
    if shutil.which("unshare") is None:
        return None
    return next(filter(can_mount, (["unshare", "-m"], ["unshare", "-Urm"])), None)


NAMESPACE = find_namespace()


@pytest.mark.skipif(NAMESPACE is None, reason="nothing may be mounted here")
@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("fill_the_disk", "size=1m"),
        ("run_out_of_inodes", "size=4m,nr_inodes=40"),
        ("turn_read_only", "size=1m"),
    ],
)
def test_on_a_disk_like_this(tmp_path: Path, scenario: str, options: str) -> None:
    mount = shlex.join(["mount", "-t", "tmpfs", "-o", options, "none", str(tmp_path)])
    program = shlex.join([*SCENARIO, scenario, str(tmp_path)])

    run([*(NAMESPACE or []), "sh", "-c", f"{mount} && exec {program}"])


def test_a_file_that_may_grow_no_further(tmp_path: Path) -> None:
    run([*SCENARIO, "exceed_the_file_size", str(tmp_path)])


def run(command: list[str]) -> None:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
