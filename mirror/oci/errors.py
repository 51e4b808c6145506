"""The failures a registry reports to its clients, each with its code and HTTP status.

    OCIError
    ├── BlobUnknown              404  BLOB_UNKNOWN
    ├── BlobUploadInvalid        404  BLOB_UPLOAD_INVALID
    ├── BlobUploadUnknown        404  BLOB_UPLOAD_UNKNOWN
    ├── ManifestUnknown          404  MANIFEST_UNKNOWN
    ├── NameUnknown              404  NAME_UNKNOWN
    ├── DigestInvalid            400  DIGEST_INVALID
    ├── ManifestBlobUnknown      400  MANIFEST_BLOB_UNKNOWN
    ├── ManifestInvalid          400  MANIFEST_INVALID
    ├── NameInvalid              400  NAME_INVALID
    ├── PaginationNumberInvalid  400  PAGINATION_NUMBER_INVALID
    ├── SizeInvalid              400  SIZE_INVALID
    ├── TagInvalid               400  TAG_INVALID
    ├── Unauthorized             401  UNAUTHORIZED
    ├── Denied                   403  DENIED
    ├── Unsupported              405  UNSUPPORTED
    ├── RangeInvalid             416  RANGE_INVALID
    ├── TooManyRequests          429  TOOMANYREQUESTS
    ├── Unknown                  500  UNKNOWN
    ├── UpstreamFault            502  UNKNOWN
    └── Unavailable              503  UNAVAILABLE

How an error becomes an HTTP response (headers, logging) is the business of ``mirror.api``.
https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
"""

import json
from collections.abc import Sequence
from typing import ClassVar

_LONGEST_QUOTE = 96


class OCIError(Exception):
    """A request that cannot be served, in the registry's own vocabulary.

    ``detail`` is anything that JSON can carry. ``retry_after`` is in seconds, None where waiting
    does not help; it goes with ``TooManyRequests``, ``Unavailable`` and ``UpstreamFault``.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500
    default_message: ClassVar[str] = "unknown error"

    def __init__(
        self,
        message: str | None = None,
        detail: object = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(self.message)


class BlobUnknown(OCIError):
    code = "BLOB_UNKNOWN"
    status = 404
    default_message = "blob unknown"


class BlobUploadInvalid(OCIError):
    code = "BLOB_UPLOAD_INVALID"
    status = 404
    default_message = "upload damaged, start again"


class BlobUploadUnknown(OCIError):
    code = "BLOB_UPLOAD_UNKNOWN"
    status = 404
    default_message = "upload unknown"


class ManifestUnknown(OCIError):
    code = "MANIFEST_UNKNOWN"
    status = 404
    default_message = "manifest unknown"


class NameUnknown(OCIError):
    code = "NAME_UNKNOWN"
    status = 404
    default_message = "repository unknown"


class DigestInvalid(OCIError):
    code = "DIGEST_INVALID"
    status = 400
    default_message = "digest invalid, or not that of the content"


class ManifestBlobUnknown(OCIError):
    code = "MANIFEST_BLOB_UNKNOWN"
    status = 400
    default_message = "manifest refers to content that is not in the repository"


class ManifestInvalid(OCIError):
    code = "MANIFEST_INVALID"
    status = 400
    default_message = "manifest invalid"


class NameInvalid(OCIError):
    code = "NAME_INVALID"
    status = 400
    default_message = "repository name invalid"


class PaginationNumberInvalid(OCIError):
    code = "PAGINATION_NUMBER_INVALID"
    status = 400
    default_message = "number of results invalid"


class SizeInvalid(OCIError):
    code = "SIZE_INVALID"
    status = 400
    default_message = "length differs from that of the content"


class TagInvalid(OCIError):
    code = "TAG_INVALID"
    status = 400
    default_message = "tag invalid"


class Unauthorized(OCIError):
    code = "UNAUTHORIZED"
    status = 401
    default_message = "authentication required"


class Denied(OCIError):
    code = "DENIED"
    status = 403
    default_message = "access denied"


class Unsupported(OCIError):
    code = "UNSUPPORTED"
    status = 405
    default_message = "operation unsupported"


class RangeInvalid(OCIError):
    code = "RANGE_INVALID"
    status = 416
    default_message = "range invalid"


class TooManyRequests(OCIError):
    code = "TOOMANYREQUESTS"
    status = 429
    default_message = "too many requests"


class Unknown(OCIError):
    code = "UNKNOWN"
    status = 500
    default_message = "unknown error"


class UpstreamFault(OCIError):
    code = "UNKNOWN"
    status = 502
    default_message = "the upstream registry gave no usable answer"


class Unavailable(OCIError):
    code = "UNAVAILABLE"
    status = 503
    default_message = "service unavailable"


def quoted(text: str) -> str:
    """Hostile text made fit for a message: shortened, in quotes, nothing but printable ASCII."""
    if len(text) <= _LONGEST_QUOTE:
        return ascii(text)
    return f"{text[:_LONGEST_QUOTE]!a}... ({len(text)} characters)"


def render(errors: Sequence[OCIError]) -> bytes:
    """The JSON body of an error response; pure ASCII, whatever the messages quote."""
    body = {"errors": [_envelope(error) for error in errors]}
    return json.dumps(body, ensure_ascii=True, separators=(",", ":"), default=str).encode("ascii")


def _envelope(error: OCIError) -> dict[str, object]:
    envelope: dict[str, object] = {"code": error.code, "message": error.message}
    if error.detail is not None:
        envelope["detail"] = error.detail
    return envelope
