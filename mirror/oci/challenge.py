"""Authentication challenges and the scopes they ask for, parsed and written.

What to do about a challenge, and whom to trust with credentials, is decided elsewhere.
https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
https://distribution.github.io/distribution/spec/auth/scope/
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mirror.oci.reference import RepositoryName

_LONGEST_HEADER = 8192
_LONGEST_SCOPE = 1024
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PARAMETER = re.compile(
    rf'({_WORD})[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s",]*+)(?=[\s,]|\Z))', re.DOTALL
)
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]++|(?=,)|\Z)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]++=*+[ \t]*+(?=,|\Z)")
_GAP = re.compile(r"[\s,]*+")
_GARBAGE = re.compile(r"[^,]*+")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SCOPE_TYPE = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?")
_SCOPE_NAME = re.compile(r"[!#-\[\]-~]+")
_SCOPE_ACTION = re.compile(r"[a-z]+|\*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme`` and the names of the parameters are in lower case, values as they were meant."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The value of a parameter; of the first one if it is repeated."""
        wanted = name.lower()
        return next((value for key, value in self.parameters if key == wanted), None)


@dataclass(frozen=True, slots=True)
class Scope:
    """``repository:library/nginx:pull``: the actions that a token allows on one resource.

    ``resource_class`` is the qualifier in ``repository(plugin)``.
    """

    type: str
    name: str
    actions: tuple[str, ...]
    resource_class: str | None = None

    def __str__(self) -> str:
        qualifier = f"({self.resource_class})" if self.resource_class else ""
        return f"{self.type}{qualifier}:{self.name}:{','.join(self.actions)}"


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of all ``WWW-Authenticate`` lines, in their order. Never raises.

    What cannot be understood is skipped up to the next comma; an overlong line is skipped whole.
    """
    return tuple(
        challenge
        for header in headers
        if len(header) <= _LONGEST_HEADER
        for challenge in _parse_line(header)
    )


def parse_scope(text: str) -> Scope | None:
    """None if the text is no scope. A name may hold colons: ``repository:host:5000/app:pull``."""
    if len(text) > _LONGEST_SCOPE:
        return None
    type_text, _, rest = text.partition(":")
    name, colon, actions_text = rest.rpartition(":")
    type_match = _SCOPE_TYPE.fullmatch(type_text)
    actions = actions_text.split(",") if actions_text else []
    if type_match is None or not colon or _SCOPE_NAME.fullmatch(name) is None:
        return None
    if not all(_SCOPE_ACTION.fullmatch(action) for action in actions):
        return None
    return Scope(type_match[1], name, tuple(dict.fromkeys(actions)), type_match[2])


def pull_scope(name: RepositoryName) -> Scope:
    return Scope("repository", str(name), ("pull",))


def format_bearer_challenge(
    realm: str, service: str, scope: Scope | None = None, error: str | None = None
) -> str:
    """One ``WWW-Authenticate`` value with every parameter quoted, as the simplest clients need it.

    https://distribution.github.io/distribution/spec/auth/token/
    """
    parameters = [("realm", realm), ("service", service)]
    if scope is not None:
        parameters.append(("scope", str(scope)))
    if error is not None:
        parameters.append(("error", error))
    return "Bearer " + ",".join(f"{name}={_quote(value)}" for name, value in parameters)


def _parse_line(line: str) -> list[Challenge]:
    challenges: list[tuple[str, list[tuple[str, str]]]] = []
    position = _skip(_GAP, line, 0)
    while position < len(line):
        if challenges and (parameter := _PARAMETER.match(line, position)):
            challenges[-1][1].append((parameter[1].lower(), _value(parameter)))
            position = parameter.end()
        elif scheme := _SCHEME.match(line, position):
            challenges.append((scheme[1].lower(), []))
            position = _skip(_TOKEN68, line, scheme.end())
        else:
            position = _skip(_GARBAGE, line, position)
        position = _skip(_GAP, line, position)
    return [Challenge(scheme_name, tuple(found)) for scheme_name, found in challenges]


def _skip(pattern: re.Pattern[str], line: str, position: int) -> int:
    match = pattern.match(line, position)
    return match.end() if match else position


def _value(parameter: re.Match[str]) -> str:
    if parameter[2] is None:
        return parameter[3]
    return _ESCAPED.sub(r"\1", parameter[2])


def _quote(value: str) -> str:
    printable = "".join(character for character in value if character.isprintable())
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
