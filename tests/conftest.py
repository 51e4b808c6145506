"""What every test may ask for."""

from collections.abc import AsyncIterator

import pytest

from tests.simulated_hub import SimulatedHub


@pytest.fixture
async def hub() -> AsyncIterator[SimulatedHub]:
    """A running Docker Hub with nothing in it."""
    async with SimulatedHub() as hub:
        yield hub
