"""What may happen to a registry: what there is to be pushed, and every act by its name."""

from collections.abc import Callable, Coroutine
from typing import Any

from mirror.oci.digest import digest_of, parse_digest
from mirror.oci.reference import Tag
from tests.registry.chronicle import (
    CACHED,
    CACHED_TOO,
    ELSEWHERE,
    OURS,
    THEIRS,
    Chronicle,
    Pushed,
)
from tests.registry.verdict import BYSTANDER
from tests.simulated_hub import Image, blob, make_artifact, make_image, make_index

LAYERS = [blob(number, 100 + number) for number in range(4)]
IMAGES = [
    make_image(layers=LAYERS[:2], config=b'{"a": 1}'),
    make_image(layers=LAYERS[1:3], config=b'{"b": 1}'),
    make_image(layers=LAYERS[3:], config=b'{"a": 1}', architecture="arm64"),
]
NOTE = make_artifact(IMAGES[0], blob("note", 50))
INDEX = make_index([IMAGES[0], IMAGES[2]])
CHOICE: tuple[Pushed, ...] = (*IMAGES, NOTE, INDEX)
POOL: tuple[Pushed, ...] = (*CHOICE, BYSTANDER)

HOSTED = (OURS, THEIRS, ELSEWHERE)
PROXIED = (CACHED, CACHED_TOO)
NEEDS = (0, 150, 400, 1 << 40)
"""Bytes that an eviction is asked for."""

Act = tuple[str, int, int, str, int]
"""Which, in which hosted repository, of what, with which tag if any, and what else chance says."""

Work = Coroutine[Any, Any, object]


def _pull_pushed(told: Chronicle, number: int) -> Work | None:
    held = sorted(told.manifests, key=str)
    return told.pull_pushed(held[number % len(held)]) if held else None


def _finish(told: Chronicle, number: int) -> Work | None:
    return told.finish_upload(told.begun.pop(number % len(told.begun))) if told.begun else None


OF_BLOBS: dict[str, Callable[[Chronicle, int, bytes, int], Work]] = {
    "blob": lambda told, to, content, number: told.push_blob(HOSTED[to], content, number),
    "begin": lambda told, to, content, number: told.begin_upload(
        HOSTED[to], content, number % len(content)
    ),
    "head": lambda told, to, content, _: told.head(HOSTED[to], digest_of(content)),
    "mount": lambda told, to, content, number: told.mount(
        HOSTED[to], digest_of(content), (*HOSTED, *PROXIED)[number % 5]
    ),
    "delete blob": lambda told, to, content, _: told.delete_blob(HOSTED[to], digest_of(content)),
}

OF_MANIFESTS: dict[str, Callable[[Chronicle, int, Pushed, Tag | None, int], Work]] = {
    "push": lambda told, to, pushed, tag, number: told.push(HOSTED[to], pushed, tag, number),
    "manifest": lambda told, to, pushed, tag, _: told.push_manifest(HOSTED[to], pushed, tag),
    "delete manifest": lambda told, to, pushed, *_: told.delete_manifest(
        HOSTED[to], parse_digest(pushed.digest)
    ),
    "delete tag": lambda told, to, _, tag, __: told.delete_tag(HOSTED[to], tag or Tag("latest")),
    "pull": lambda told, to, pushed, *_: told.pull(PROXIED[to % len(PROXIED)], pushed),
}

OF_ALL: dict[str, Callable[[Chronicle, int], Work | None]] = {
    "finish": _finish,
    "pull pushed": _pull_pushed,
    "collect": lambda told, _: told.collect(),
    "plan": lambda told, _: told.collect(dry_run=True),
    "evict": lambda told, number: told.evict(NEEDS[number % len(NEEDS)]),
    "sweep": lambda told, _: told.sweep(),
}

OFTEN = {"push": 4, "blob": 2, "manifest": 2, "delete manifest": 2, "pull": 2, "collect": 3}
"""How many times as often as the others."""

NAMES = [name for name in (*OF_BLOBS, *OF_MANIFESTS, *OF_ALL) for _ in range(OFTEN.get(name, 1))]

NAMES_IN_A_CROWD = [name for name in NAMES if name != "pull pushed"]
"""What somebody pushed, somebody else may delete just now."""


def work(told: Chronicle, act: Act) -> Work:
    """What an act is to do, of what there is now. Where there is nothing, something is pushed."""
    name, to, which, tag, number = act
    pushed, reference = CHOICE[which], Tag(tag) if tag else None
    if name in OF_BLOBS:
        return OF_BLOBS[name](told, to, _blob_of(pushed, number), number)
    if name in OF_MANIFESTS:
        return OF_MANIFESTS[name](told, to, pushed, reference, number)
    return OF_ALL[name](told, number) or told.push(HOSTED[to], pushed, reference, number)


def in_each_others_way(crowd: list[Act]) -> list[Act]:
    """Most are about the same content, or else hardly any two would ever meet."""
    _, to, which, *_ = crowd[0]
    return [
        (name, to, which, tag, number) if number % 4 else (name, own_to, own_which, tag, number)
        for name, own_to, own_which, tag, number in crowd
    ]


def _blob_of(pushed: Pushed, number: int) -> bytes:
    image = pushed if isinstance(pushed, Image) else IMAGES[0]
    blobs = list(image.blobs.values())
    return blobs[number % len(blobs)]
