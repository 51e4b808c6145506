"""What can be wrong with an upstream, and every situation in which a client may meet it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from tests.simulated_hub import Fault, Image, Kind, blob, make_image


class Outcome(Enum):
    """What a client may hear that wants something new and can go nowhere else."""

    RIGHT = "the answer is right all the same"
    WRONG = "the upstream is not to be believed"
    FAILED = "the upstream failed"
    SILENT = "the upstream does not answer"
    THROTTLED = "the upstream wants to be left alone"
    ABSENT = "there is no such thing, or not for us"


STATUSES = {
    Outcome.WRONG: 502,
    Outcome.FAILED: 502,
    Outcome.SILENT: 503,
    Outcome.THROTTLED: 429,
    Outcome.ABSENT: 404,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """``outcomes``: what comes of it where it can be felt at all."""

    name: str
    fault: Fault
    outcomes: tuple[Outcome, ...]
    is_slow: bool = False
    """Whether it makes everybody wait for deadlines."""


def trouble(
    name: str, kind: Kind, *outcomes: Outcome, slow: bool = False, **how: object
) -> Trouble:
    return Trouble(name, replace(Fault(kind=kind), **how), outcomes, slow)  # type: ignore[arg-type]  # checked by the fault itself


_STATUSES = [
    trouble(f"status {status}", "status", outcome, status=status)
    for status, outcome in (
        (204, Outcome.WRONG),
        (400, Outcome.WRONG),
        (401, Outcome.ABSENT),
        (403, Outcome.ABSENT),
        (404, Outcome.ABSENT),
        (410, Outcome.WRONG),
        (416, Outcome.WRONG),
        (418, Outcome.WRONG),
        (500, Outcome.FAILED),
        (502, Outcome.FAILED),
        (504, Outcome.FAILED),
    )
]

TROUBLES: tuple[Trouble, ...] = (
    *_STATUSES,
    trouble("throttled", "status", Outcome.THROTTLED, status=429),
    trouble("throttled for long", "status", Outcome.THROTTLED, status=429, retry_after=50),
    trouble("busy for long", "status", Outcome.FAILED, status=503, retry_after=50),
    trouble("portal", "html", Outcome.WRONG),
    trouble("failing portal", "html", Outcome.FAILED, status=503),
    trouble("redirected in a circle", "redirect", Outcome.WRONG),
    trouble(
        "redirected inwards", "redirect", Outcome.WRONG, location="http://169.254.169.254/latest"
    ),
    trouble("redirected to a file", "redirect", Outcome.WRONG, location="file:///etc/passwd"),
    trouble("no HTTP", "garbage", Outcome.WRONG, Outcome.SILENT),
    trouble("bit flipped", "flip", Outcome.WRONG),
    trouble("padded", "pad", Outcome.WRONG),
    trouble("truncated", "truncate", Outcome.WRONG, Outcome.SILENT),
    trouble("other blob", "other_blob", Outcome.WRONG),
    trouble("packed", "gzip", Outcome.WRONG, Outcome.RIGHT),
    trouble("endless", "endless", Outcome.WRONG),
    trouble("promises more", "long_length", Outcome.SILENT, Outcome.WRONG),
    trouble("promises less", "short_length", Outcome.WRONG, Outcome.SILENT),
    trouble("says no length", "no_length", Outcome.RIGHT),
    trouble("says no length and ends early", "no_length", Outcome.WRONG, Outcome.SILENT, at=100),
    trouble("says no length in its head", "no_length_header", Outcome.RIGHT),
    trouble("says two lengths", "duplicate_length", Outcome.WRONG),
    trouble("chunked", "chunked", Outcome.RIGHT),
    trouble("chunked and ends early", "chunked", Outcome.WRONG, Outcome.SILENT, at=100),
    trouble("breaks chunks", "bad_chunk", Outcome.WRONG, Outcome.SILENT),
    trouble("never ends its chunks", "unterminated_chunks", Outcome.SILENT, Outcome.WRONG),
    trouble("chunked and with a length", "length_and_chunked", Outcome.WRONG, Outcome.RIGHT),
    trouble("wrong type", "wrong_type", Outcome.WRONG, Outcome.RIGHT),
    trouble("names no digest", "no_digest_header", Outcome.RIGHT),
    trouble("names another digest", "wrong_digest_header", Outcome.WRONG, Outcome.ABSENT),
    trouble("huge header", "huge_header", Outcome.WRONG),
    trouble("part uninvited", "partial_uninvited", Outcome.WRONG),
    trouble("part that is said to be another", "wrong_content_range", Outcome.WRONG),
    trouble("part that is another", "shifted_range", Outcome.WRONG),
    trouble("reset", "reset", Outcome.SILENT),
    trouble("reset half way", "reset", Outcome.SILENT, at=100),
    trouble("closed", "close", Outcome.SILENT),
    trouble("closed half way", "close", Outcome.SILENT, at=100),
    trouble("late", "delay", Outcome.RIGHT, seconds=0.05),
    trouble("stalled", "stall", Outcome.SILENT, slow=True),
    trouble("stalled half way", "stall", Outcome.SILENT, slow=True, at=100),
    trouble("dripping", "drip", Outcome.SILENT, slow=True, seconds=0.02),
    trouble("dripping headers", "slow_headers", Outcome.SILENT, slow=True, seconds=0.05),
)

What = Literal["tag", "digest", "blob"]
Method = Literal["HEAD", "GET", "RANGE"]
State = Literal["cached", "stale", "cold"]
Approach = Literal["mirror", "direct"]

SITUATIONS: tuple[tuple[What, Method, State, Approach], ...] = tuple(
    (what, method, state, approach)
    for what in ("tag", "digest", "blob")
    for method in ("HEAD", "GET", "RANGE")
    for state in ("cached", "stale", "cold")
    for approach in ("mirror", "direct")
    if state != "stale" or what == "tag"
)

PART = (1000, 2000)


@dataclass(frozen=True, slots=True)
class Cell:
    """One client in one situation, with an upstream, a repository and an image of its own."""

    number: int
    trouble: Trouble
    what: What
    method: Method
    state: State
    approach: Approach
    image: Image = field(repr=False)
    times: int | None
    """How many requests meet the trouble; None: all."""

    @property
    def upstream(self) -> str:
        return f"u{self.number}.example"

    @property
    def name(self) -> str:
        return f"team/app{self.number}"

    @property
    def tag(self) -> str:
        return f"v{self.number}"

    @property
    def layer(self) -> str:
        return self.image.layers[0]

    @property
    def path(self) -> str:
        item = {
            "tag": f"manifests/{self.tag}",
            "digest": f"manifests/{self.image.digest}",
            "blob": f"blobs/{self.layer}",
        }[self.what]
        if self.approach == "mirror":
            return f"/v2/{self.name}/{item}?ns={self.upstream}"
        return f"/v2/{self.upstream}/{self.name}/{item}"

    @property
    def content(self) -> bytes:
        return self.image.blobs[self.layer] if self.what == "blob" else self.image.content

    @property
    def faults(self) -> Iterator[Fault]:
        route: Literal["blob", "manifest"] = "blob" if self.what == "blob" else "manifest"
        for reference in {
            "tag": (self.tag, self.image.digest),
            "digest": (self.image.digest,),
            "blob": (self.layer,),
        }[self.what]:
            yield replace(self.trouble.fault, route=route, reference=reference, times=self.times)

    def __str__(self) -> str:
        times = "always" if self.times is None else "once"
        situation = f"{self.what} {self.method} {self.state} {self.approach}"
        return f"{self.trouble.name} {times}: {situation} (cell {self.number})"


def cells(troubles: tuple[Trouble, ...], times: int | None, share: float) -> list[Cell]:
    """This share of the situations of each trouble, and the same ones each time."""
    chosen = [
        (each, situation)
        for each in troubles
        for situation in dice(each, times).sample(SITUATIONS, round(len(SITUATIONS) * share))
    ]
    return [
        Cell(number, each, *situation, image_of(number), times)
        for number, (each, situation) in enumerate(chosen)
    ]


def dice(each: Trouble, times: int | None) -> random.Random:
    return random.Random(f"{each.name} {times}")  # noqa: S311 - it chooses, and guards nothing


def image_of(number: int) -> Image:
    return make_image(layers=[blob(f"cell {number}", 60_000)])
