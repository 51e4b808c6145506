"""Stores and upstreams of every kind, one after the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.ports.hosting import Facts
from tests.conformance.metadata import ADAPTERS
from tests.conformance.upstreams import WORLDS, World


@pytest.fixture(params=ADAPTERS)
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Facts]:
    """An empty metadata store of each adapter."""
    async with ADAPTERS[request.param](tmp_path) as store:
        yield store


@pytest.fixture(params=WORLDS)
async def remote_world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A registry with nothing in it, and each adapter for it."""
    async with WORLDS[request.param]() as world:
        yield world
