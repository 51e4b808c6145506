"""A file system of its own for one test: small, soon full, and nobody else's."""

import itertools
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import mounting_option

NAMESPACES: Mapping[str, tuple[str, ...]] = {"-m": ("mnt",), "-Urm": ("user", "mnt")}
"""How `unshare` makes them, and what then has to be entered; root has it easier."""

ENTERING: Mapping[str, tuple[str, ...]] = {"-m": ("-m",), "-Urm": ("-U", "-m")}

HOLD = 'mount -t tmpfs -o "$1" none "$2" && echo mounted && exec cat'


def way() -> str:
    """The option of `unshare`. Whoever uses this has the mark `needs_mounts`."""
    option = mounting_option()
    assert option is not None
    return option


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """Mounted in the namespaces of a process that does nothing but keep them."""

    mounted_at: Path
    """Where those see it who are in there."""
    holder: int

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(f"/proc/{self.holder}/ns/{kind}" for kind in NAMESPACES[way()])

    @property
    def path(self) -> Path:
        """Where we see it."""
        return Path(f"/proc/{self.holder}/root{self.mounted_at}")

    def remount(self, options: str) -> None:
        entering = ["nsenter", "-t", str(self.holder), *ENTERING[way()]]
        mount = ["mount", "-o", f"remount,{options}", str(self.mounted_at)]
        subprocess.run([*entering, *mount], check=True)

    def fill(self) -> Path:
        """A file that takes all room there is; remove it to give the room back."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(b"x" * size):
                        pass
        return ballast

    def take_inodes(self) -> Path:
        """A folder of so many files that no other can be made."""
        folder = self.path / "inodes"
        folder.mkdir()
        with suppress(OSError):  # the server may take the last one, or give one back
            for number in itertools.count():
                (folder / str(number)).touch()
        return folder


@contextmanager
def small_disk(at: Path, options: str) -> Iterator[SmallDisk]:
    """Mounted at ``at`` with these options of tmpfs."""
    at.mkdir()
    command = ["unshare", way(), "sh", "-c", HOLD, "sh", options, str(at)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        yield SmallDisk(at, holder.pid)
