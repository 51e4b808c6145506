"""Uploads of a whole server: they outlive it, and expire when its configuration says so."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import digest_of
from tests.api.wire import eventually
from tests.world import Mirror, Reply, SettableClock, running_mirror

CONTENT = b"content " * 1000
DIGEST = digest_of(CONTENT)
NAME = "local/app"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
HOUR = timedelta(hours=1)
HASTY = {"MIRROR__HOSTED__UPLOAD_EXPIRY": "1h"}


async def ask(mirror: Mirror, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    async with mirror.client.request(
        method, mirror.url + path, data=body, headers=headers
    ) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


async def begin(mirror: Mirror, content: bytes) -> str:
    location = (await ask(mirror, "POST", UPLOADS)).headers["Location"]
    assert (await ask(mirror, "PATCH", location, content)).status == 202
    return location


async def test_a_restart_leaves_them_as_they_were(tmp_path: Path) -> None:
    async with running_mirror(tmp_path, None) as mirror:
        location = await begin(mirror, CONTENT[:5000])
    async with running_mirror(tmp_path, None) as mirror:
        status = await ask(mirror, "GET", location)
        assert (status.status, status.headers["Range"]) == (204, "0-4999")
        target, span = f"{location}?digest={DIGEST}", {"Content-Range": "5000-7999"}
        finished = await ask(mirror, "PUT", target, CONTENT[5000:], **span)
        assert finished.status == 201
    async with running_mirror(tmp_path, None) as mirror:
        assert (await mirror.get(f"/v2/{NAME}/blobs/{DIGEST}")).body == CONTENT
        assert (await ask(mirror, "GET", location)).status == 404
    assert list((tmp_path / "ingest").iterdir()) == []


@pytest.mark.parametrize(("more", "expiry"), [({}, 24 * HOUR), (HASTY, HOUR)])
async def test_they_expire_as_configured(
    tmp_path: Path, more: Mapping[str, str], expiry: timedelta
) -> None:
    clock = SettableClock()
    async with running_mirror(tmp_path, None, more, clock) as mirror:
        locations = [await begin(mirror, b"%d" % number) for number in range(2)]
        clock.advance(expiry)
        assert (await ask(mirror, "PATCH", locations[1], b"more")).status == 202
        clock.advance(timedelta(seconds=1))
        assert (await ask(mirror, "GET", locations[0])).status == 404
        assert (await ask(mirror, "GET", locations[1])).status == 204


async def test_what_has_expired_is_swept(tmp_path: Path) -> None:
    """A sweep is taken soon after the start."""
    clock = SettableClock()
    async with running_mirror(tmp_path, None, HASTY, clock) as mirror:
        await begin(mirror, CONTENT)
        clock.advance(HOUR)
        young = await begin(mirror, CONTENT)
        clock.advance(timedelta(seconds=1))
    ingests = tmp_path / "ingest"
    async with running_mirror(tmp_path, None, HASTY, clock) as mirror:
        await eventually(lambda: len(list(ingests.iterdir())) == 1)
        assert (await ask(mirror, "GET", young)).status == 204
