"""When garbage is collected, and what is too young for it."""

from datetime import timedelta

import pytest

from mirror.config.quantities import parse_schedule
from tests.config.conftest import Folder, complaint_of

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("1d", 24 * HOUR),
        ("30m", HOUR / 2),
        ("off", None),
        ("OFF", None),
        ("0", None),
        ("0s", None),
        ("0h0m", None),
    ],
)
def test_a_schedule_is_a_duration_or_off(
    folder: Folder, text: str, every: timedelta | None
) -> None:
    assert parse_schedule(text) == every
    assert folder.load(f"hosted: {{gc: {{every: {text}}}}}").hosted.gc.every == every
    environ = {"MIRROR__HOSTED__GC__EVERY": text}
    assert folder.load("", environ).hosted.gc.every == every


@pytest.mark.parametrize("text", ["", "never", "24", "-1h", "of"])
def test_nothing_else_is_one(text: str) -> None:
    assert complaint_of(parse_schedule, text)


def test_the_grace_period_is_longer_than_a_push_may_take(folder: Folder) -> None:
    assert folder.complaint("hosted:\n  gc: {grace: 24h}\n") == (
        "mirror.yaml:2:15: hosted.gc.grace: must be longer than hosted.upload_expiry, as long as"
        " a push may take"
    )
    assert folder.complaint("hosted: {upload_expiry: 3d, gc: {grace: 3d}}").startswith(
        "mirror.yaml:1:41: hosted.gc.grace: must be longer"
    )
    assert folder.complaint("hosted: {upload_expiry: 48h}") == (
        "mirror.yaml:1:25: hosted.upload_expiry: must be shorter than hosted.gc.grace, which"
        " protects what was pushed: set that"
    )


def test_whichever_is_set_in_the_environment_counts(folder: Folder) -> None:
    environ = {"MIRROR__HOSTED__GC__GRACE": "1h"}
    assert "hosted.gc.grace: must be longer" in folder.complaint("", environ)
    config = folder.load("hosted: {upload_expiry: 30m}", environ)
    assert (config.hosted.gc.grace, config.hosted.upload_expiry) == (HOUR, HOUR / 2)


@pytest.mark.parametrize(
    "text",
    [
        "hosted: {gc: {grace: soon}}",
        "hosted: {gc: {grace: 0s}}",
        "hosted: {gc: {grace: [1h]}}",
        "hosted: {upload_expiry: 99}",
        "hosted: {gc: nothing}",
    ],
)
def test_what_cannot_be_read_is_told_once(folder: Folder, text: str) -> None:
    assert len(folder.complaints(text)) == 1


def test_empty_keys_leave_the_defaults(folder: Folder) -> None:
    hosted = folder.load("hosted:\n  gc:\n    grace:\n    every:\n").hosted
    assert (hosted.gc.grace, hosted.gc.every) == (48 * HOUR, 24 * HOUR)
