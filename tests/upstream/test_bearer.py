"""Logging in: tokens are asked for once, kept per scope, renewed in time and after a refusal."""

import asyncio

import pytest

from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.credentials import Credential
from tests.simulated_hub import Fault
from tests.upstream.world import (
    LATEST,
    NAME,
    PASSWORD,
    World,
    download,
    layer_bytes,
    layer_digest,
    must_be_remote,
    push_image,
)

OTHER = RepositoryName("library/redis")
CREDENTIAL = Credential("somebody", PASSWORD)


def tokens(world: World) -> int:
    return world.hub.count("token")


async def test_the_token_is_there_before_the_first_question(world: World) -> None:
    push_image(world.hub)
    assert await world.upstream().resolve(NAME, LATEST) is not None
    assert [(each.route, each.status) for each in world.hub.requests] == [
        ("ping", 401),
        ("token", 200),
        ("manifest", 200),
    ]


async def test_three_hundred_who_wait_share_one_token_even_when_the_first_leaves(
    world: World,
) -> None:
    image = push_image(world.hub)
    stall = world.hub.faults.add(Fault(route="token", kind="stall", times=1))
    upstream = world.upstream()
    waiting = [
        asyncio.create_task(download(upstream, layer_digest(image), number))
        for number in range(300)
    ]
    await world.hub.wait_for(lambda: world.hub.faults.hits(stall) == 1)
    waiting[0].cancel()
    world.hub.release()
    bodies = await asyncio.gather(*waiting[1:])
    assert all(body == layer_bytes(image)[number + 1 :] for number, body in enumerate(bodies))
    assert (world.hub.count("ping"), tokens(world)) == (1, 1)
    assert world.hub.count(status=401) == 1


async def test_each_repository_has_its_own_token(world: World) -> None:
    image = push_image(world.hub)
    world.hub.push(str(OTHER), "latest", image)
    upstream = world.upstream()
    for name in (NAME, OTHER, NAME, OTHER):
        assert await upstream.resolve(name, LATEST) is not None
    asked = [each.query["scope"] for each in world.hub.find("token")]
    assert asked == ["repository:library/nginx:pull", "repository:library/redis:pull"]
    sent = {each.name: each.authorization for each in world.hub.find("manifest")}
    assert len(set(sent.values())) == 2


async def test_a_token_is_renewed_behind_the_scenes_before_it_ends(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.clock.pass_by(239)
    await upstream.resolve(NAME, LATEST)
    assert tokens(world) == 1
    world.clock.pass_by(2)
    stall = world.hub.faults.add(Fault(route="token", kind="stall", times=1))
    # The one at hand is still good: nobody waits for the next.
    await upstream.resolve(NAME, LATEST)
    await upstream.resolve(NAME, LATEST)
    await world.hub.wait_for(lambda: world.hub.faults.hits(stall) == 1)
    world.hub.release()
    await world.hub.wait_for(lambda: world.hub.find("token")[-1].finished)
    used = [each.authorization for each in world.hub.find("manifest")]
    assert len(set(used)) == 1
    assert tokens(world) == 2


async def test_a_renewal_that_fails_is_tried_again_after_a_while_only(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.clock.pass_by(245)
    world.hub.faults.add(Fault(route="token", kind="status", status=503))
    for _ in range(5):
        await upstream.resolve(NAME, LATEST)
    await world.hub.wait_for(lambda: tokens(world) == 2)
    world.clock.pass_by(11)
    await upstream.resolve(NAME, LATEST)
    await world.hub.wait_for(lambda: tokens(world) == 3)


async def test_an_expired_token_is_never_sent(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.clock.pass_by(301)
    await upstream.resolve(NAME, LATEST)
    first, second = (each.authorization for each in world.hub.find("manifest"))
    assert first != second
    assert world.hub.count("manifest", status=401) == 0


async def test_a_jump_of_the_wall_clock_changes_nothing(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    monotonic = world.clock.monotonic()
    world.clock.pass_by(10 * 365 * 86400)
    world.clock._monotonic = monotonic
    await upstream.resolve(NAME, LATEST)
    assert tokens(world) == 1


async def test_a_revoked_token_is_replaced_once_for_all_who_hold_it(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.revoke_tokens()
    found = await asyncio.gather(*(upstream.resolve(NAME, LATEST) for _ in range(50)))
    assert None not in found
    assert tokens(world) == 2


async def test_a_token_that_ends_during_a_download_is_replaced_for_the_rest(world: World) -> None:
    image = push_image(world.hub, size=400_000)
    world.hub.faults.add(Fault(route="blob", kind="stall", at=100_000, times=1))
    upstream = world.upstream()
    received = b""
    async with upstream.open_blob(NAME, layer_digest(image)) as opened:
        async for chunk in must_be_remote(opened).chunks():
            received += chunk
            if len(received) >= 100_000:
                break
    world.hub.revoke_tokens()
    async with upstream.open_blob(NAME, layer_digest(image), len(received)) as opened:
        async for chunk in must_be_remote(opened).chunks():
            received += chunk
    assert received == layer_bytes(image)
    assert tokens(world) == 2


async def test_after_a_401_the_new_challenge_counts(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.revoke_tokens()
    realm = f"{world.hub.tokens.realm}?tenant=a%2Fb"
    world.hub.tokens.realm, world.hub.tokens.service = realm, "moved.docker.io"
    assert await upstream.resolve(NAME, LATEST) is not None
    first, second = world.hub.find("token")
    assert first.query["service"] == "registry.docker.io"
    assert second.query["service"] == "moved.docker.io"
    assert second.raw_query.startswith("tenant=a%2Fb&service=")


async def test_a_registry_that_is_never_content_is_left_alone(world: World) -> None:
    push_image(world.hub)
    upstream = world.upstream()
    challenge = f'Bearer realm="{world.hub.tokens.realm}",service="s",error="invalid_token"'
    world.hub.faults.add(
        Fault(
            route="manifest", kind="status", status=401, headers=(("WWW-Authenticate", challenge),)
        )
    )
    with pytest.raises(UpstreamDenied, match="library/nginx"):
        await upstream.resolve(NAME, LATEST)
    assert (world.hub.count("manifest"), tokens(world)) == (2, 2)


@pytest.mark.parametrize("missing", ["library/absent", "library/private"])
async def test_what_is_missing_or_private_is_denied_without_asking_for_token_after_token(
    world: World, missing: str
) -> None:
    push_image(world.hub)
    world.hub.push("library/private", "latest", push_image(world.hub))
    world.hub.make_private("library/private", "owner")
    with pytest.raises(UpstreamDenied) as caught:
        await world.upstream().resolve(RepositoryName(missing), LATEST)
    assert missing in str(caught.value)
    assert tokens(world) == 1


async def test_private_repositories_open_with_our_login(world: World) -> None:
    push_image(world.hub)
    world.hub.make_private(str(NAME), "somebody")
    world.hub.tokens.users["somebody"] = PASSWORD
    upstream = world.upstream(credential=CREDENTIAL)
    assert await upstream.resolve(NAME, LATEST) is not None
    assert world.hub.find("token")[0].authorization == CREDENTIAL.basic
    assert upstream.status().reason is None


async def test_a_refused_login_is_not_tried_again_for_minutes(world: World) -> None:
    image = push_image(world.hub)
    world.hub.push(str(OTHER), "latest", image)
    world.hub.tokens.users["somebody"] = "another password"
    upstream = world.upstream(credential=CREDENTIAL)
    assert await upstream.resolve(NAME, LATEST) is not None
    assert await upstream.resolve(OTHER, LATEST) is not None
    tried = [each.authorization is not None for each in world.hub.find("token")]
    assert tried == [True, False, False]
    status = upstream.status()
    assert status.reason is not None
    assert "upstreams.docker.io.credentials" in status.reason
    assert PASSWORD not in status.reason
    world.clock.pass_by(400)
    world.hub.tokens.users["somebody"] = PASSWORD
    assert await upstream.resolve(NAME, LATEST) is not None
    assert world.hub.find("token")[-1].authorization is not None
    assert upstream.status().reason is None


async def test_a_403_of_the_token_service_concerns_one_repository(world: World) -> None:
    image = push_image(world.hub)
    world.hub.push(str(OTHER), "latest", image)
    world.hub.tokens.users["somebody"] = PASSWORD
    world.hub.faults.add(Fault(route="token", kind="status", status=403, times=2))
    upstream = world.upstream(credential=CREDENTIAL)
    with pytest.raises(UpstreamDenied):
        await upstream.resolve(NAME, LATEST)
    assert await upstream.resolve(OTHER, LATEST) is not None
    tried = [each.authorization is not None for each in world.hub.find("token")]
    assert tried == [True, False, True]
    assert upstream.status().reason is None


async def test_a_basic_login_that_is_wrong_is_denied_and_not_repeated(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.mode = "basic"
    world.hub.tokens.users["somebody"] = "another password"
    upstream = world.upstream(credential=CREDENTIAL)
    for _ in range(3):
        with pytest.raises(UpstreamDenied):
            await upstream.resolve(NAME, LATEST)
    sent = [each for each in world.hub.find("manifest") if each.authorization is not None]
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(route="token", kind="status", status=500), UpstreamFailed),
        (Fault(route="token", kind="status", status=429), UpstreamThrottled),
        (Fault(route="token", kind="status", status=404), UpstreamInvalid),
        (Fault(route="token", kind="status", status=405), UpstreamInvalid),
        (Fault(route="token", kind="status", status=401), UpstreamDenied),
        (Fault(route="token", kind="html"), UpstreamInvalid),
        (Fault(route="token", kind="status", status=200, body=b"{}"), UpstreamInvalid),
        (Fault(route="token", kind="status", status=200, body=b"x" * 70_000), UpstreamInvalid),
        (Fault(route="token", kind="endless"), UpstreamInvalid),
        (Fault(route="token", kind="reset"), UpstreamUnreachable),
        (Fault(route="token", kind="close"), UpstreamUnreachable),
        (Fault(route="token", kind="truncate"), UpstreamInvalid),
    ],
    ids=lambda value: value.kind + str(value.status or "") if isinstance(value, Fault) else None,
)
async def test_a_token_service_in_trouble(
    world: World, fault: Fault, error: type[Exception]
) -> None:
    push_image(world.hub)
    world.hub.faults.add(fault)
    upstream = world.upstream()
    with pytest.raises(error) as caught:
        await upstream.resolve(NAME, LATEST)
    assert str(caught.value).startswith("docker.io: ")
    assert "<" not in str(caught.value)
    world.hub.faults.clear()
    world.clock.pass_by(61)
    assert await upstream.resolve(NAME, LATEST) is not None


async def test_a_token_reply_is_read_up_to_64_kib(world: World) -> None:
    push_image(world.hub)
    reply = b'{"token":"t"}'
    upstream = world.upstream()
    fault = Fault(route="token", status=200, body=reply.ljust(65536), times=1)
    world.hub.faults.add(fault)
    # The hub knows no such token, so that another one is asked for.
    assert await upstream.resolve(NAME, LATEST) is not None
    assert world.hub.find("manifest")[0].authorization == "Bearer t"
    world.hub.faults.add(Fault(route="token", status=200, body=reply.ljust(65537)))
    with pytest.raises(UpstreamInvalid, match="more than 65536 bytes"):
        await world.upstream().resolve(NAME, LATEST)


async def test_every_spelling_of_the_token_reply_will_do(world: World) -> None:
    push_image(world.hub)
    for fields in (("token",), ("access_token",), ("token", "expires_in")):
        world.hub.tokens.fields = frozenset(fields)
        assert await world.upstream().resolve(NAME, Tag("latest")) is not None


async def test_a_registry_without_a_login_is_asked_without_one(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.mode = "none"
    upstream = world.upstream(credential=CREDENTIAL)
    for _ in range(3):
        assert await upstream.resolve(NAME, LATEST) is not None
    assert (world.hub.count("ping"), tokens(world)) == (1, 0)
    assert {each.authorization for each in world.hub.requests} == {None}


async def test_a_login_that_is_demanded_later_is_learnt_then(world: World) -> None:
    push_image(world.hub)
    world.hub.tokens.mode = "none"
    upstream = world.upstream()
    await upstream.resolve(NAME, LATEST)
    world.hub.tokens.mode = "bearer"
    assert await upstream.resolve(NAME, LATEST) is not None
    assert await upstream.resolve(NAME, LATEST) is not None
    assert world.hub.count("manifest", status=401) == 1


async def test_closing_ends_the_wait_for_a_token(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="token", kind="stall"))
    upstream = world.upstream()
    waiting = asyncio.create_task(upstream.resolve(NAME, LATEST))
    await world.hub.wait_for(lambda: world.hub.stalled == 1)
    await upstream.close()
    with pytest.raises(UpstreamUnreachable):
        await waiting
    with pytest.raises(UpstreamUnreachable):
        await upstream.resolve(NAME, LATEST)
    await upstream.close()
