"""``data/quarantine``: what failed verification, kept for the operator. Served to nobody."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mirror.oci.digest import Digest
from mirror.ports.clock import Clock

KEPT = 20
"""Files kept; the oldest go first. They count for nothing but take room."""

_LONGEST_REASON = 2000
_NAME = re.compile(r"[a-f0-9]+\.([0-9]{1,18})")


class QuarantineFolder:
    """Files ``<hex>.<n>`` with a note ``<hex>.<n>.json`` each; ``n`` grows from one to the next.

    Synchronous: called in threads.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, source: Path, digest: Digest, reason: str) -> bool:
        """Move a file here; ``False`` when it is not there. Raises OSError."""
        with self._lock:
            serial = max((serial for serial, _ in self._kept()), default=0) + 1
            place = self._path / f"{digest.encoded}.{serial}"
            try:
                source.rename(place)
            except FileNotFoundError:
                return False
            # On a full disk the note is lost or the oldest stay: the bad file is out of service.
            with suppress(OSError):
                self._write_note(place, digest, reason)
                self._remove_oldest()
            return True

    def _write_note(self, place: Path, digest: Digest, reason: str) -> None:
        note = {
            "digest": str(digest),
            "reason": reason[:_LONGEST_REASON],
            "at": self._clock.now().isoformat(),
        }
        _note_of(place).write_text(json.dumps(note) + "\n", encoding="utf-8")

    def _remove_oldest(self) -> None:
        for _, place in sorted(self._kept())[:-KEPT]:
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
            _note_of(place).unlink(missing_ok=True)

    def _kept(self) -> Iterator[tuple[int, Path]]:
        for place in self._path.iterdir():
            match = _NAME.fullmatch(place.name)
            if match is not None:
                yield int(match[1]), place


def _note_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")
