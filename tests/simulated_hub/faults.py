"""Which request goes wrong and how: the plan of a test. What a fault does is in `spoiling`."""

from dataclasses import dataclass, field
from typing import Literal

from tests.simulated_hub.log import Request

FaultRoute = Literal["any", "ping", "manifest", "blob", "tags", "referrers", "token", "cdn"]
Kind = Literal[
    # the answer is another one
    "status",
    "html",
    "redirect",
    "garbage",
    # the bytes are wrong
    "flip",
    "pad",
    "truncate",
    "other_blob",
    "gzip",
    "endless",
    # the length is a lie, or illegal
    "long_length",
    "short_length",
    "no_length",
    "no_length_header",
    "duplicate_length",
    "chunked",
    "bad_chunk",
    "unterminated_chunks",
    "length_and_chunked",
    # the headers are wrong
    "wrong_type",
    "no_digest_header",
    "wrong_digest_header",
    "huge_header",
    "partial_uninvited",
    "wrong_content_range",
    "shifted_range",
    # the connection is in trouble
    "reset",
    "close",
    "stall",
    "delay",
    "drip",
    "slow_headers",
]
NEEDS_RANGE: frozenset[Kind] = frozenset(("wrong_content_range", "shifted_range"))
NEEDS_NO_RANGE: frozenset[Kind] = frozenset(("partial_uninvited",))
NEEDS_BODY: frozenset[Kind] = frozenset(
    ("flip", "endless", "chunked", "bad_chunk", "unterminated_chunks", "drip", "short_length")
)
BREAKS: frozenset[Kind] = frozenset(("reset", "close", "stall"))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fault:
    """One thing that goes wrong, for requests that match.

    A request without a valid token gets its challenge first and is not struck, except with
    `before_auth` and on the routes that need no token. Faults of the body strike GET only. One
    fault strikes a request: the first added that matches. A redirected blob is two requests, of
    the routes "blob" and "cdn".
    """

    route: FaultRoute = "any"
    kind: Kind = "status"
    method: Literal["GET", "HEAD"] | None = None
    reference: str | None = None
    """Only requests for this tag or digest."""
    times: int | None = None
    """How many requests are struck; None: all."""
    skip: int = 0
    """How many matching requests go well first."""
    before_auth: bool = False
    at: int | None = None
    """Offset in the body of this answer. None: before the first header for `reset`, `close` and
    `stall`; elsewhere the middle, or the end."""
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Header lines added to whatever is answered, in place of those of the same name."""
    body: bytes | None = None
    retry_after: int | None = None
    location: str | None = None
    """Where `redirect` points; None: to the same address, a loop."""
    size: int | None = None
    """Bytes: how much `pad`, `huge_header` and `long_length` add."""
    seconds: float = 0.05
    """Between the bytes of `drip` and `slow_headers`; before the answer for `delay`."""

    def concerns(self, request: Request) -> bool:
        return (
            self.route in ("any", request.route)
            and self.method in (None, request.method)
            and self.reference in (None, request.reference)
            and self._fits(request)
        )

    def _fits(self, request: Request) -> bool:
        """Whether its effect could be seen, so that no hit is spent where it cannot."""
        in_body = self.kind in NEEDS_BODY or (self.kind in BREAKS and self.at is not None)
        if in_body and request.method == "HEAD":
            return self.method == "HEAD"
        if self.kind in NEEDS_RANGE:
            return "Range" in request.headers
        return self.kind not in NEEDS_NO_RANGE or "Range" not in request.headers


@dataclass(slots=True)
class Faults:
    _plan: list[Fault] = field(default_factory=list)
    _met: dict[Fault, int] = field(default_factory=dict)

    def add(self, fault: Fault) -> Fault:
        self._plan.append(fault)
        self._met[fault] = 0
        return fault

    def remove(self, fault: Fault) -> None:
        self._plan.remove(fault)

    def clear(self) -> None:
        self._plan.clear()

    def hits(self, fault: Fault) -> int:
        """How many requests it has struck."""
        return max(0, self._met[fault] - fault.skip)

    def strike(self, request: Request, *, let_in: bool) -> Fault | None:
        """The fault that strikes this request, counted."""
        for fault in self._plan:
            if not fault.concerns(request) or not (let_in or fault.before_auth):
                continue
            if fault.times is not None and self.hits(fault) >= fault.times:
                continue
            self._met[fault] += 1
            if self._met[fault] > fault.skip:
                return fault
        return None
