"""How old something is, in words for people."""

from datetime import timedelta


def ago(age: timedelta) -> str:
    """In the largest unit that fits; nothing is from the future."""
    seconds = max(int(age.total_seconds()), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"
