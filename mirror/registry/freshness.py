"""May a tag be served without asking the upstream? Pure; the time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mirror.oci.reference import RepositoryName, Tag
from mirror.registry.glob import Glob


@dataclass(frozen=True, slots=True)
class FreshnessRule:
    """Tags of ``match`` (``repository:tag``) are served for ``freshness`` without asking."""

    match: Glob
    freshness: timedelta


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """The rules of one upstream; the first that matches decides, else ``default``."""

    default: timedelta
    rules: Sequence[FreshnessRule] = ()

    def lifetime(self, name: RepositoryName, tag: Tag) -> timedelta:
        text = f"{name}:{tag}"
        return next(
            (rule.freshness for rule in self.rules if rule.match.matches(text)), self.default
        )


def remaining(confirmed_at: datetime, lifetime: timedelta, now: datetime) -> timedelta:
    """How long the tag stays fresh. Zero when it is stale, or confirmed in the future: a clock
    that jumped back must not keep a tag fresh for ever.
    """
    age = now - confirmed_at
    if age < timedelta(0):
        return timedelta(0)
    return max(lifetime - age, timedelta(0))
