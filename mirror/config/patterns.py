"""Which patterns over repositories and tags are legal; what they match is decided by routing.

`*` stands for a run within one component, `**` for a run across components. Every `parse_…`
raises `ValueError` whose text says what is wrong and what would be right.
"""

import re

from mirror.config.problems import shown

_REPOSITORIES = re.compile(r"[a-z0-9._*-]+(?:/[a-z0-9._*-]+)*", re.ASCII)
_TAGS = re.compile(r"[A-Za-z0-9._*-]+", re.ASCII)
_LONGEST = 255


def parse_repositories(text: str) -> str:
    """A pattern over repositories: `**`, `library/*`, `team/app`."""
    if ":" in text or "@" in text:
        raise ValueError(f"{shown(text)} must name repositories only, without a tag or a digest")
    return _checked(text)


def parse_references(text: str) -> str:
    """A pattern over repositories and their tags: `library/*:*-rc`; no colon means every tag."""
    repositories, colon, tags = text.partition(":")
    _checked(repositories)
    if not colon:
        return f"{repositories}:*"
    if not _TAGS.fullmatch(tags) or "**" in tags:
        raise ValueError(f"{shown(text)} has no pattern for tags after its colon: write :*-nightly")
    return text


def _checked(repositories: str) -> str:
    if not repositories:
        raise ValueError('an empty pattern matches nothing: write "**" for every repository')
    if repositories != repositories.lower():
        raise ValueError(f"{shown(repositories)} matches nothing: repositories are lower case")
    if "***" in repositories or len(repositories) > _LONGEST:
        raise ValueError(f"{shown(repositories)} is not a pattern")
    if not _REPOSITORIES.fullmatch(repositories):
        raise ValueError(
            f"{shown(repositories)} matches nothing: a pattern has letters, digits, . _ - and"
            " single slashes, * for a part of one component, ** for a part across components"
        )
    return repositories
