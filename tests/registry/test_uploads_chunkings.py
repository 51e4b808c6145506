"""However a blob is cut up, and whatever breaks off in between, it arrives whole or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.oci.byte_range import ByteRange
from mirror.oci.digest import digest_of
from mirror.registry.pour import PORTION
from mirror.registry.uploads import Body
from tests.registry.upload_bench import (
    OURS,
    ClientLeft,
    UploadBench,
    body,
    broken,
    disk_bench,
    memory_bench,
)

SIZES = st.sampled_from([0, 1, 100, 4096, 65_536, 300_000, PORTION])

Ending = Literal["whole", "broken", "restart"]


@dataclass(frozen=True, slots=True)
class Request:
    """A part of a blob: the sizes of the pieces it comes in, and what becomes of it."""

    pieces: tuple[int, ...]
    is_placed: bool
    is_measured: bool
    ending: Ending


REQUESTS = st.builds(
    Request,
    st.lists(SIZES, max_size=3).map(tuple),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["whole", "whole", "broken", "restart"]),
)


def content_of(size: int) -> bytes:
    """Of which no two places look alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


@pytest.mark.parametrize("kind", ["memory", "disk"])
@given(requests=st.lists(REQUESTS, max_size=3), is_last_empty=st.booleans(), sha512=st.booleans())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_it_arrives_whole(
    kind: str, *, requests: Sequence[Request], is_last_empty: bool, sha512: bool
) -> None:
    content = content_of(sum(sum(each.pieces) for each in requests))
    digest = digest_of(content, "sha512" if sha512 else "sha256")
    with TemporaryDirectory() as folder:
        bench = memory_bench(Path(folder)) if kind == "memory" else disk_bench(Path(folder))
        upload = (await bench.uploads.start(OURS)).id
        last = len(requests) - (not is_last_empty)
        for request in requests[:last]:
            await send(bench, upload, content, request)
        offset = await bench.offset(upload)
        rest = content[offset:] if last < len(requests) else b""
        if last == len(requests) and offset < len(content):
            await bench.uploads.append(OURS, upload, body(content[offset:]))
        await bench.uploads.finish(OURS, upload, body(rest), digest)
        assert await bench.stored(digest) == content
        assert await bench.may_serve(OURS, digest)
        assert await bench.unfinished() == 0


async def send(bench: UploadBench, upload: str, content: bytes, request: Request) -> None:
    """As a client does that asks how much has come before it goes on."""
    start = await bench.offset(upload)
    pieces = list(_cut(content[start:], request.pieces))
    total = sum(map(len, pieces))
    if request.ending == "broken":
        with pytest.raises(ClientLeft):
            await bench.uploads.append(OURS, upload, broken(*pieces))
    else:
        place = ByteRange(start, start + total) if request.is_placed and total else None
        length = total if request.is_measured else None
        sent = Body(body(*pieces).chunks, length, place)
        await bench.uploads.append(OURS, upload, sent)
    if request.ending == "restart":
        bench.restart()
    assert await bench.offset(upload) == start + total


def _cut(content: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield content[start : start + size]
        start += size
