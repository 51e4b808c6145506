"""Proof that a message comes from whoever knows the secret, and is not an old one sent again."""

import hashlib
import hmac
from datetime import datetime

BODY = "X-Mirror-Signature-256"
DELIVERY = "X-Mirror-Delivery"
TIMESTAMP = "X-Mirror-Timestamp"
MESSAGE = "X-Mirror-Message-Signature-256"

OURS = "x-mirror-"
"""How all of them begin, in lower case."""


def signed(body: bytes, secret: bytes, sent_at: datetime) -> dict[str, str]:
    """Headers that go with a body.

    The delivery is the same whenever the same body is sent. What only the first signature covers
    could be sent again with another time, so the second covers ``<delivery>.<timestamp>.<body>``.
    """
    delivery = hashlib.sha256(body).hexdigest()[:32]
    timestamp = str(int(sent_at.timestamp()))
    return {
        DELIVERY: delivery,
        TIMESTAMP: timestamp,
        BODY: _sign(body, secret),
        MESSAGE: _sign(f"{delivery}.{timestamp}.".encode() + body, secret),
    }


def _sign(content: bytes, secret: bytes) -> str:
    return f"sha256={hmac.new(secret, content, hashlib.sha256).hexdigest()}"
