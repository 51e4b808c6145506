"""Who may push and delete, and that nobody else learns or changes anything."""

import pytest

from mirror.oci.reference import Tag
from mirror.registry.hosted import PushedManifest
from tests.api.services import ELSEWHERE, Wishes, hosted, make_mirror
from tests.api.serving import serving
from tests.api.wire import connected, request
from tests.simulated_hub import make_image, make_index

INDEX = make_index([])
IMAGE = make_image(layers=[b"layer"])
NAME = "team/group/app"
CHANGES = [
    ("PUT", f"/v2/{NAME}/manifests/1"),
    ("DELETE", f"/v2/{NAME}/manifests/1"),
    ("DELETE", f"/v2/{NAME}/manifests/{IMAGE.digest}"),
    ("DELETE", f"/v2/{NAME}/blobs/{IMAGE.layers[0]}"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    ("wishes", "lines", "words"),
    [
        (Wishes(trusted=ELSEWHERE), (), "auth: {trusted_networks:"),
        (Wishes(), ("X-Forwarded-For: 127.0.0.1",), "through a proxy"),
        (Wishes(), ("Origin: https://evil.example",), "pages of other sites"),
        (Wishes(), ("Sec-Fetch-Site: cross-site",), "pages of other sites"),
    ],
)
async def test_strangers_change_nothing(
    method: str, path: str, wishes: Wishes, lines: tuple[str, ...], words: str
) -> None:
    mirror = make_mirror(wishes)
    repository = hosted(NAME)
    await mirror.hold(repository, "1", IMAGE)
    length = f"Content-Length: {len(INDEX.content)}"
    async with serving(mirror) as server, connected(server.port) as line:
        expects = (length, "Expect: 100-continue") if method == "PUT" else ()
        answer = await line.ask(request(path, *lines, *expects, method=method))
    assert (answer.status, answer.code) == (403, "DENIED")
    assert words in str(answer.errors[0]["message"])
    assert [str(tag) for tag in await mirror.metadata.list_tags(repository, None, 9)] == ["1"]


@pytest.mark.parametrize("path", [path for method, path in CHANGES if method == "DELETE"])
async def test_strangers_do_not_learn_what_is_there(path: str) -> None:
    answers = []
    for name in (NAME, "team/group/empty"):
        mirror = make_mirror(Wishes(trusted=ELSEWHERE))
        await mirror.hold(hosted(NAME), "1", IMAGE)
        async with serving(mirror) as server, connected(server.port) as line:
            asked = request(path.replace(NAME, name), method="DELETE")
            answers.append((await line.ask(asked)).lasting)
    assert answers[0] == answers[1]


async def test_strangers_may_pull() -> None:
    mirror = make_mirror(Wishes(trusted=ELSEWHERE))
    pushed = PushedManifest(hosted(NAME), Tag("1"), INDEX.content, INDEX.media_type)
    await mirror.services.hosted.push(pushed)
    async with serving(mirror) as server, connected(server.port) as line:
        assert (await line.ask(request(f"/v2/{NAME}/manifests/1"))).body == INDEX.content
