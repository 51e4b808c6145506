"""A hub and adapters for it."""

from collections.abc import AsyncIterator

import pytest

from tests.simulated_hub import SimulatedHub
from tests.upstream.world import World


@pytest.fixture
async def world(hub: SimulatedHub) -> AsyncIterator[World]:
    """A hub whose adapters are closed in the end."""
    world = World(hub)
    yield world
    await world.close()
