"""The container image ``mirror``, built as its users build it, but from what was fetched before."""

import os
import shutil
from pathlib import Path

import pytest

from tests.clients.docker import Docker
from tests.clients.mirror_server import REPOSITORY

NOT_SENT = shutil.ignore_patterns(".git", ".venv", ".hypothesis", ".*_cache", "__pycache__")


async def build_image(docker: Docker, folder: Path) -> None:
    """What the build needs is put into the folder, which does not exist yet."""
    shutil.copytree(REPOSITORY, folder, ignore=NOT_SENT)
    # The build reaches no index.
    shutil.copytree(prepared("CLIENTS_WHEELS"), folder / "wheels")
    (await docker.command("import", prepared("CLIENTS_BASE"), "base")).checked()
    options = ("--build-arg", "BASE_IMAGE=base", "--network", "none", "--tag", "mirror")
    (await docker.command("build", *options, str(folder))).checked()


def prepared(variable: str) -> str:
    path = os.environ.get(variable)
    if path is None:
        pytest.skip("what the image is built from could not be fetched")
    return path
