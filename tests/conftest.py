"""What every test may ask for."""

import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from tests.simulated_hub import SimulatedHub

pytest_plugins = ["tests.requirements"]

# A busy machine is slow; that is no failure. Where CI runs, a run can be repeated exactly.
settings.register_profile(
    "mirror",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    database=None,
)
settings.load_profile("mirror")


@pytest.fixture
async def hub() -> AsyncIterator[SimulatedHub]:
    """A running Docker Hub with nothing in it."""
    async with SimulatedHub() as hub:
        yield hub
