"""Errors: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import errors
from mirror.oci.errors import (
    BlobUnknown,
    ManifestUnknown,
    OCIError,
    TooManyRequests,
    quoted,
    render,
)

STATUS_OF_CODE = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 404,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "MANIFEST_UNKNOWN": 404,
    "NAME_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "NAME_INVALID": 400,
    "PAGINATION_NUMBER_INVALID": 400,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "UNSUPPORTED": 405,
    "RANGE_INVALID": 416,
    "TOOMANYREQUESTS": 429,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
}


def test_every_code_has_its_status() -> None:
    known = {kind.code: kind.status for kind in OCIError.__subclasses__()}
    assert known | {"UNKNOWN": 500} == STATUS_OF_CODE


def test_an_upstream_that_fails_is_a_bad_gateway() -> None:
    assert (errors.UpstreamFault.code, errors.UpstreamFault.status) == ("UNKNOWN", 502)


@pytest.mark.parametrize("kind", OCIError.__subclasses__())
def test_the_tree_is_drawn_in_the_module_and_every_error_explains_itself(
    kind: type[OCIError],
) -> None:
    drawing = {tuple(line.split()[1:]) for line in (errors.__doc__ or "").splitlines()}
    assert (kind.__name__, str(kind.status), kind.code) in drawing
    assert str(kind()) == kind().message == kind.default_message
    assert kind.default_message == kind.default_message.lower()


def test_an_error_carries_what_it_was_given() -> None:
    error = TooManyRequests("slow down", {"limit": 100}, retry_after=30)

    assert (str(error), error.message, error.detail) == ("slow down", "slow down", {"limit": 100})
    assert error.retry_after == 30
    assert BlobUnknown().retry_after is None
    assert BlobUnknown().detail is None


def test_the_envelope_is_that_of_the_specification() -> None:
    body = render([ManifestUnknown("no such tag", {"tag": "v1"}), BlobUnknown()])

    assert json.loads(body) == {
        "errors": [
            {"code": "MANIFEST_UNKNOWN", "message": "no such tag", "detail": {"tag": "v1"}},
            {"code": "BLOB_UNKNOWN", "message": "blob unknown"},
        ]
    }


@given(st.text(st.characters(codec=None), min_size=1))
def test_hostile_text_becomes_ascii_and_comes_back_unchanged(text: str) -> None:
    body = render([BlobUnknown(text, [text])])

    assert body.isascii()
    assert not any(byte < 0x20 for byte in body)
    parsed = json.loads(body)["errors"][0]
    assert parsed["detail"] == [text]
    assert parsed["message"] == text


def test_a_detail_that_json_lacks_is_written_as_text() -> None:
    assert json.loads(render([BlobUnknown(detail=1j)]))["errors"][0]["detail"] == "1j"


@given(st.text(st.characters(codec=None)))
def test_a_quote_is_short_and_printable(text: str) -> None:
    quote = quoted(text)

    assert quote.isascii()
    assert quote.isprintable()
    assert len(quote) < 1100


def test_a_quote_tells_how_much_it_left_out() -> None:
    assert quoted("a" * 1000) == repr("a" * 96) + "... (1000 characters)"
    assert quoted("a\n") == r"'a\n'"
