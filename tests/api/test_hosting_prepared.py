"""Hosted manifests take the short way, and a push or a delete is right at once there too."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.api.prepared import PreparedAnswers, Question
from mirror.oci.digest import parse_digest
from mirror.oci.manifest import Descriptor
from mirror.registry.answer import Handling, ManifestAnswer
from mirror.registry.statistics import Result
from tests.api.services import MemoryMirror, Wishes, hosted, make_mirror
from tests.api.serving import Serving, serving
from tests.api.short_way import LONG_WAY, keep
from tests.api.wire import Answer, connected, request
from tests.simulated_hub import Index, make_index
from tests.world import SettableClock

REPOSITORY = hosted("team/group/app")
PATH = "/v2/team/group/app/manifests/1"


def numbered(number: int) -> Index:
    index = make_index([])
    content = index.content.rstrip()[:-1] + b', "annotations": {"n": "%d"}}' % number
    return Index(content, index.media_type, index.digest, ())


@pytest.fixture
async def server(mirror: MemoryMirror) -> AsyncIterator[Serving]:
    async with serving(mirror) as server:
        yield server


async def put(server: Serving, index: Index, path: str = PATH) -> Answer:
    lines = (f"Content-Type: {index.media_type}", f"Content-Length: {len(index.content)}")
    async with connected(server.port) as line:
        await line.send(request(path, *lines, method="PUT") + index.content)
        return await line.answer("PUT")


async def ask(server: Serving, *lines: str, method: str = "GET") -> Answer:
    async with connected(server.port) as line:
        return await line.ask(request(PATH, *lines, method=method))


async def test_a_hosted_manifest_is_prepared(server: Serving) -> None:
    await put(server, numbered(1))
    await keep(server, PATH)
    for method in ("GET", "HEAD"):
        long = await ask(server, LONG_WAY, method=method)
        short = await ask(server, method=method)
        assert server.was_prepared()
        assert short.lasting == long.lasting
        assert short["Cache-Status"] == "mirror; hit; detail=hosted"


async def test_what_was_pushed_is_answered_from_then_on(server: Serving) -> None:
    for number in range(5):
        index = numbered(number)
        assert (await put(server, index)).status == 201
        for _ in range(3):
            assert (await ask(server)).body == index.content
        assert server.was_prepared()


async def test_what_was_deleted_is_not_answered_any_more(server: Serving) -> None:
    for _ in range(3):
        answer = await put(server, numbered(1))
        digest = answer["Docker-Content-Digest"]
        await keep(server, PATH)
        for target in (PATH, f"/v2/team/group/app/manifests/{digest}"):
            async with connected(server.port) as line:
                assert (await line.ask(request(target, method="DELETE"))).status == 202
                assert (await line.ask(request(target))).status == 404
                assert (await line.ask(request(PATH))).status == 404


async def test_an_answer_from_before_a_change_is_not_kept_after_it() -> None:
    answers = PreparedAnswers(SettableClock())
    index = numbered(1)
    digest = parse_digest(index.digest)
    descriptor = Descriptor(index.media_type, digest, len(index.content))
    answer = ManifestAnswer(REPOSITORY, descriptor, index.content, Handling(Result.HOSTED))
    question = Question("GET", PATH, PATH)
    headers = {"Cache-Status": "mirror; hit"}

    before = answers.changes
    answers.forget()
    answers.keep(question, headers, answer, before)
    assert answers.find(question.line) is None

    answers.keep(question, headers, answer, answers.changes)
    assert answers.find(question.line) is not None
    answers.forget()
    assert answers.find(question.line) is None


async def test_nobody_gets_what_was_before_a_push_that_was_answered() -> None:
    """Pulls and pushes in every order: nobody ever gets less than what was pushed before."""
    mirror = make_mirror(Wishes())
    async with serving(mirror) as server:
        pushed = 0

        async def push() -> None:
            nonlocal pushed
            for number in range(1, 40):
                await put(server, numbered(number))
                pushed = number

        async def pull() -> None:
            while pushed < 39:
                before = pushed
                answer = await ask(server)
                if answer.status == 200:
                    assert int(answer.body.rpartition(b'"n": "')[2].split(b'"')[0]) >= before

        await asyncio.gather(push(), *(pull() for _ in range(4)))
