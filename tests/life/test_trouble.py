"""Every trouble of an upstream in every situation of a client: right bytes or the right error.

Each cell has an upstream of its own, so that no breaker protects one from what another one has
met, and all the cells of a test are tried at the same time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.life.aftermath import inspect_blobs
from tests.life.environment import IMPATIENT
from tests.life.pulling import ACCEPT, BROKEN
from tests.life.remains import back_to, remains
from tests.life.troubles import PART, STATUSES, TROUBLES, Cell, Method, Outcome, cells
from tests.simulated_hub import SimulatedHub
from tests.world import Mirror, SettableClock, running_mirror

SHARE = 1.0 if os.environ.get("LIFE_TROUBLE") == "all" else 0.17
SHARE_OF_SLOW = max(SHARE, 0.5)
AT_ONCE = 5 if SHARE == 1.0 else 15
"""Troubles in one test."""

CLIENTS = 40
"""At the same time: with more of them, the deadlines would be those of this one event loop."""

FRESH = timedelta(hours=1)
UNTIL_ASKED_AGAIN = timedelta(seconds=61)
"""No upstream is left alone for longer because it failed."""

PATIENCE = 15.0
PATIENCE_WITH_A_COPY = 5.0

QUICK = tuple(each for each in TROUBLES if not each.is_slow)
SLOW = tuple(each for each in TROUBLES if each.is_slow)
GROUPS = [QUICK[start : start + AT_ONCE] for start in range(0, len(QUICK), AT_ONCE)] + [SLOW]


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer; ``body`` is None where it broke off. ``seconds`` is how long it took."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes | None
    seconds: float

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def __str__(self) -> str:
        body = "broken off" if self.body is None else f"{len(self.body)} bytes"
        if self.status not in (200, 206) and self.body:
            body = self.body[:300].decode(errors="replace")
        told = {name: self.header(name) for name in ("Cache-Status", "Warning")}
        return f"{self.status} after {self.seconds:.1f} s, {told}, {body}"


async def ask(mirror: Mirror, cell: Cell, method: Method | None = None) -> Heard:
    method = method or cell.method
    headers = dict(ACCEPT)
    if method == "RANGE":
        headers["Range"] = f"bytes={PART[0]}-{PART[1] - 1}"
    loop = asyncio.get_running_loop()
    began = loop.time()
    verb = "GET" if method == "RANGE" else method
    try:
        async with mirror.client.request(verb, mirror.url + cell.path, headers=headers) as answer:
            try:
                body: bytes | None = await answer.read()
            except BROKEN:
                body = None
            return Heard(answer.status, answer.headers, body, loop.time() - began)
    except BROKEN:
        return Heard(None, {}, None, loop.time() - began)


def is_right(cell: Cell, heard: Heard, method: Method | None = None) -> bool:
    """Whether it is what was asked for. Raises AssertionError for a whole answer that is not."""
    method = method or cell.method
    if heard.status not in (200, 206) or heard.body is None:
        return False
    content = cell.content
    part = method == "RANGE" and cell.what == "blob"
    assert heard.status == (206 if part else 200), cell
    if part:
        content = content[PART[0] : PART[1]]
        assert heard.header("Content-Range") == f"bytes {PART[0]}-{PART[1] - 1}/60000", cell
    if method != "HEAD":
        assert heard.body == content, f"{cell}: a whole answer with other bytes"
    digest = cell.layer if cell.what == "blob" else cell.image.digest
    told = (heard.header("Docker-Content-Digest"), int(heard.header("Content-Length")))
    if method == "HEAD" and cell.state == "cold" and told != (digest, len(content)):
        # Nobody can find out without a download that the upstream's own HEAD is wrong.
        return False
    assert told == (digest, len(content)), cell
    return True


def complaints(cell: Cell, heard: Heard) -> Iterator[str]:
    """What is wrong with what a client hears while the trouble lasts."""
    if heard.seconds > (PATIENCE if cell.state == "cold" else PATIENCE_WITH_A_COPY):
        yield "it took too long"
    if is_right(cell, heard):
        yield from complaints_of_right(cell, heard)
    elif cell.state == "stale" and cell.trouble.fault.status == 404:
        if heard.status != 404:
            yield "the tag is gone, and nobody is told"
    elif cell.state != "cold":
        yield "it is here, and not served"
    elif heard.status == 200 and cell.method == "HEAD":
        return
    elif heard.body is None:
        # The status line had gone out, so cutting the connection was all that was left.
        if cell.what != "blob" or cell.method == "HEAD":
            yield "it breaks off"
    else:
        yield from complaints_of_error(cell, heard)


def complaints_of_right(cell: Cell, heard: Heard) -> Iterator[str]:
    did = heard.header("Cache-Status")
    if cell.state == "cached" and not did.startswith("mirror; hit"):
        yield "the upstream was asked for what is here"
    is_stale = 'detail="stale' in did
    if cell.state == "stale" and is_stale != heard.header("Warning").startswith("299 "):
        yield "it does not say that it is stale, or says so of what is not"


def complaints_of_error(cell: Cell, heard: Heard) -> Iterator[str]:
    allowed = {404}
    if cell.approach == "direct":
        allowed = {STATUSES[each] for each in cell.trouble.outcomes if each is not Outcome.RIGHT}
    if heard.status not in allowed:
        yield f"the error should be one of {allowed}"
    if heard.header("Content-Type") != "application/json":
        yield "the error is not one of a registry"
    if heard.status in (429, 503) and not heard.header("Retry-After").isdecimal():
        yield "it does not say when to come back"


async def ask_all(
    mirror: Mirror, some: Sequence[Cell], method: Method | None = None
) -> list[tuple[Cell, Heard]]:
    places = asyncio.Semaphore(CLIENTS)

    async def ask_in_turn(cell: Cell) -> tuple[Cell, Heard]:
        async with places:
            return cell, await ask(mirror, cell, method)

    return await asyncio.gather(*(ask_in_turn(cell) for cell in some))


async def listen(mirror: Mirror, some: Sequence[Cell]) -> None:
    """Ask for everything. Raises AssertionError with all that is wrong."""
    wrong = [
        f"{cell}: {complaint}: {heard}"
        for cell, heard in await ask_all(mirror, some)
        for complaint in complaints(cell, heard)
    ]
    assert not wrong, "\n".join(wrong)


async def recovered(mirror: Mirror, some: Sequence[Cell]) -> None:
    """Raises AssertionError unless everybody gets what is right, and the second time what is new:
    the first time the upstream may be too slow for that.
    """
    first, second = await ask_all(mirror, some, "GET"), await ask_all(mirror, some, "GET")
    wrong = [
        f"{cell}: {heard}" for cell, heard in first + second if not is_right(cell, heard, "GET")
    ]
    wrong += [f"{cell}: {heard}" for cell, heard in second if heard.header("Warning")]
    assert not wrong, "\n".join(wrong)


@asynccontextmanager
async def mirror_of_cells(
    data: Path, hub: SimulatedHub, some: Sequence[Cell]
) -> AsyncIterator[tuple[Mirror, SettableClock]]:
    """With what the cells say is cached, and stale where they say so."""
    upstreams = ", ".join(
        f'{cell.upstream}: {{url: "{hub.url}", realms: ["{hub.token_host}"], freshness: 1h,'
        f" default: {str(not cell.number).lower()}}}"
        for cell in some
    )
    clock = SettableClock()
    # A copy is served late enough for those to be confirmed who can be, though all ask at once.
    more = IMPATIENT | {
        "MIRROR__UPSTREAMS": f"{{{upstreams}}}",
        "MIRROR__TIMEOUTS__STALE_AFTER": "1s",
    }
    async with running_mirror(data, hub, more, clock) as mirror:
        for cell in some:
            hub.push(cell.name, cell.tag, cell.image)
        await all_of(prefill(mirror, cell) for cell in some if cell.state == "stale")
        clock.advance(FRESH)
        await all_of(prefill(mirror, cell) for cell in some if cell.state == "cached")
        yield mirror, clock


async def prefill(mirror: Mirror, cell: Cell) -> None:
    """Until it is here: a client may have all of a download that is not put away yet."""
    did = ""
    while not did.startswith("mirror; hit"):
        heard = await ask(mirror, cell, "GET")
        assert is_right(cell, heard, "GET")
        did = heard.header("Cache-Status")


async def all_of(work: Iterable[Coroutine[None, None, object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)


def share_of(group: int) -> float:
    return SHARE_OF_SLOW if GROUPS[group] is SLOW else SHARE


def begin(hub: SimulatedHub, some: Sequence[Cell]) -> None:
    for cell in some:
        for fault in cell.faults:
            hub.faults.add(fault)


@pytest.mark.parametrize("group", range(len(GROUPS)))
async def test_while_it_lasts_and_after(tmp_path: Path, hub: SimulatedHub, group: int) -> None:
    some = cells(GROUPS[group], None, share_of(group))
    before = remains()
    async with mirror_of_cells(tmp_path, hub, some) as (mirror, clock):
        begin(hub, some)
        await listen(mirror, some)

        hub.faults.clear()
        hub.release()
        clock.advance(UNTIL_ASKED_AGAIN)
        await recovered(mirror, some)
    inspect_blobs(tmp_path)
    await back_to(before)


BELIEVED = ("status 404", "throttled", "throttled for long", "busy for long")
"""Answers that are meant to be remembered for a while."""


@pytest.mark.parametrize("group", range(len(GROUPS)))
async def test_once_and_never_again(tmp_path: Path, hub: SimulatedHub, group: int) -> None:
    """The next request succeeds, though no time has passed."""
    troubles = tuple(each for each in GROUPS[group] if each.name not in BELIEVED)
    some = cells(troubles, 1, share_of(group))
    async with mirror_of_cells(tmp_path, hub, some) as (mirror, _):
        begin(hub, some)
        await listen(mirror, some)
        # A tag has two faults, one for itself and one for what it names.
        with suppress(AssertionError):
            await recovered(mirror, some)
        await recovered(mirror, some)
    inspect_blobs(tmp_path)
