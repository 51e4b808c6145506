"""Bytes, counts and shares as people read them."""

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_NEARLY_ONE = 0.999


def format_size(size: int) -> str:
    """``512 B``, ``1.5 KiB``, ``50.0 GiB``."""
    if size < _STEP:
        return f"{size} B"
    amount, unit = size / _STEP, 0
    # 1023.96 would be shown as 1024.0 of its unit, which is 1.0 of the next.
    while round(amount, 1) >= _STEP and unit + 1 < len(_UNITS):
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}"


def format_count(count: int, noun: str) -> str:
    """``1 blob``, ``1,234 blobs``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def format_share(share: float) -> str:
    """``98.7%``; only all of it is 100%."""
    return f"{min(share, _NEARLY_ONE) if share < 1 else 1:.1%}"
