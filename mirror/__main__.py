"""``mirror`` and ``python -m mirror``."""

import io
import sys

from mirror.cli import cli


def main() -> None:
    _never_fail_to_print()
    cli(prog_name="mirror")


def _never_fail_to_print() -> None:
    """A name that the terminal's encoding lacks is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
