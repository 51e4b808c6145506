"""A mirror whose upstream is a mirror: what one of them lacks is no news about the image."""

from pathlib import Path

import pytest

from tests.simulated_hub import SimulatedHub, blob, make_image
from tests.world import Mirror, running_mirror

TAG = "/v2/library/app/manifests/1"
IMAGE = make_image(layers=[blob("layer", 100_000)])


def behind(inner: Mirror) -> dict[str, str]:
    """Settings of a mirror of this one, which trusts no tag without asking."""
    upstream = f'{{docker.io: {{url: "{inner.url}", default: true, freshness: 0s}}}}'
    return {"MIRROR__UPSTREAMS": upstream}


def at_the_port_of(inner: Mirror) -> dict[str, str]:
    return {"MIRROR__LISTEN": f"127.0.0.1:{inner.port}"}


async def test_what_the_inner_one_cannot_get_is_served_by_the_outer_one_that_has_it(
    hub: SimulatedHub, tmp_path: Path
) -> None:
    hub.push("library/app", "1", IMAGE)
    async with running_mirror(tmp_path / "inner", hub) as inner:
        settings = behind(inner)
        async with running_mirror(tmp_path / "outer", None, settings) as outer:
            assert (await outer.get(TAG)).status == 200
    await hub.stop()
    async with (
        running_mirror(tmp_path / "empty", hub, at_the_port_of(inner)),
        running_mirror(tmp_path / "outer", None, settings) as outer,
    ):
        answer = await outer.get(TAG)
    assert (answer.status, answer.body) == (200, IMAGE.content)
    assert "stale" in answer.headers["Cache-Status"]


async def test_a_client_that_is_no_mirror_is_sent_to_the_origin(
    hub: SimulatedHub, tmp_path: Path
) -> None:
    await hub.stop()
    async with running_mirror(tmp_path / "inner", hub) as inner:
        through_a_proxy = {"Via": "1.1 nginx"}
        through_a_mirror = {"Via": "1.1 mirror-0123456789ab"}
        assert (await inner.get(TAG, through_a_proxy)).status == 404
        assert (await inner.get(TAG, through_a_mirror)).status == 503


async def test_the_log_says_why_clients_are_sent_to_the_origin(
    hub: SimulatedHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await hub.stop()
    async with running_mirror(tmp_path / "inner", hub) as inner:
        assert (await inner.get(TAG)).status == 404
    reasons = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(TAG in reason and "does not accept connections" in reason for reason in reasons)
