"""Patterns of tags that stay in their place."""

import pytest

from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.repository import Repository
from mirror.wiring import make_immutable_tags
from tests.config.conftest import Folder


def test_none_by_default(folder: Folder) -> None:
    assert not make_immutable_tags(folder.load(""))


@pytest.mark.parametrize(
    ("name", "tag", "pattern"),
    [
        ("app", "v1", "*:v*"),
        ("app", "latest", None),
        ("local/release/app", "latest", "local/release/*:*"),
        ("local/app", "v1", None),
    ],
)
def test_a_pattern_without_a_colon_means_every_tag(
    folder: Folder, name: str, tag: str, pattern: str | None
) -> None:
    config = folder.load('hosted: {immutable_tags: ["*:v*", "local/release/*"]}')
    tags = make_immutable_tags(config)
    assert tags.pattern_for(Repository(None, RepositoryName(name)), Tag(tag)) == pattern


def test_from_the_environment(folder: Folder) -> None:
    config = folder.load("", {"MIRROR__HOSTED__IMMUTABLE_TAGS": '["**:v*"]'})
    assert config.hosted.immutable_tags == ("**:v*",)


def test_a_pattern_that_matches_nothing_is_told_with_its_place(folder: Folder) -> None:
    complaint = folder.complaint('hosted:\n  immutable_tags: ["**:v*", "App:v*"]\n')
    assert complaint.startswith("mirror.yaml:2:29: hosted.immutable_tags.1: 'App' matches nothing")
