"""Disks that are full, out of inodes or read-only: real ones, each in a process of its own."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import mounting_option, needs_mounts

SCENARIO = [sys.executable, "-m", "tests.storage.scenarios"]


@needs_mounts
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

    run(["unshare", mounting_option() or "", "sh", "-c", f"{mount} && exec {program}"])


def test_a_file_that_may_grow_no_further(tmp_path: Path) -> None:
    run([*SCENARIO, "exceed_the_file_size", str(tmp_path)])


def run(command: list[str]) -> None:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
