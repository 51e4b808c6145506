"""What ``docs/clients`` tells users to write, taken from there: no page is wrong unseen."""

import re
import shlex
from collections.abc import Sequence

from tests.clients.mirror_server import HOST, OTHER, REPOSITORY

PAGES = REPOSITORY / "docs" / "clients"
THEIR_HOST = "mirror.lan:5000"
THEIR_OTHER = "ghcr.io"


def documented(page: str, path: str) -> str:
    """The first block after the path of a file, for the addresses of this suite."""
    text = (PAGES / page).read_text()
    found = re.search(rf"`{re.escape(path)}`.*?\n```\w+\n(.*?)```\n", text, re.DOTALL)
    assert found is not None, f"{page} does not say what to write to {path}"
    return adapted(found[1])


def documented_command(page: str, beginning: str) -> Sequence[str]:
    """The words of the command, as a shell makes them, from the first line that begins so."""
    text = (PAGES / page).read_text()
    found = re.search(rf"^(?:\$ )?({re.escape(beginning)}(?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert found is not None, f"{page} does not have a command {beginning}"
    return shlex.split(adapted(found[1]).replace("\\\n", ""))


def adapted(block: str) -> str:
    return block.replace(THEIR_HOST, HOST).replace(THEIR_OTHER, OTHER)
