"""What the tests of the filesystem store put in, where it lies, and how its threads are held."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from mirror.oci.digest import Digest, digest_of

CONTENT = b"content of a layer " * 5000
DIGEST = digest_of(CONTENT)
SHA512 = digest_of(CONTENT, "sha512")


def place_of(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded


def writable(place: Path) -> Path:
    """A blob's file, as whoever spoils it would make it."""
    place.chmod(0o600)
    return place


def mode_of(place: Path) -> int:
    return stat.S_IMODE(place.lstat().st_mode)


def names_in(folder: Path) -> set[str]:
    return {place.name for place in folder.iterdir()}


def raising_once_at(name: str) -> Callable[[str], None]:
    """A checkpoint at which the disk fails."""
    errors = [OSError(errno.EIO, "hidden", "/a/hidden/path")]

    def checkpoint(reached: str) -> None:
        if reached == name and errors:
            raise errors.pop()

    return checkpoint


class Gate:
    """A checkpoint at which a thread waits until it is told to go on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.reached = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, name: str) -> None:
        if name == self._name:
            self.reached.set()
            self.may_go_on.wait(30)


def make_link(place: Path) -> None:
    secret = place.parent / "secret"
    secret.write_bytes(CONTENT)
    place.symlink_to(secret)


def make_dangling_link(place: Path) -> None:
    place.symlink_to("nowhere")


def make_folder(place: Path) -> None:
    place.mkdir()
    (place / "inside").touch()


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


ODDITIES = [make_link, make_dangling_link, make_folder, make_pipe]
"""What may lie in the place of a file."""
