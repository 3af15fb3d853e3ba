"""Durations as people write them: ``500ms``, ``10s``, ``5m``, ``1h``, ``3d``."""

import re

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN = re.compile(r"([0-9]+)(ms|s|m|h|d)")

MAX_DURATION_MS = 36_500 * _UNITS_MS["d"]
"""A century: times with a few of these added still fit into 64 bits."""


def parse_duration_ms(text: str) -> int:
    """Read a duration.

    Args:
        text: digits and a unit, ``ms``, ``s``, ``m``, ``h`` or ``d``.

    Returns:
        The duration in milliseconds.

    Raises:
        ValueError: the text is not a duration, or one of more than ``MAX_DURATION_MS``.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write digits and a unit, such as 500ms, 10s, 5m, 1h or 3d")
    digits = match[1].lstrip("0")
    duration_ms = int(digits or "0") * _UNITS_MS[match[2]] if len(digits) < 20 else MAX_DURATION_MS + 1
    if duration_ms > MAX_DURATION_MS:
        raise ValueError(f"{text[:40]!r} is longer than the longest duration, {format_duration(MAX_DURATION_MS)}")
    return duration_ms


def format_duration(duration_ms: int) -> str:
    """Write a duration in its largest whole unit: 60,000 becomes ``1m``.

    Args:
        duration_ms: milliseconds, not negative.

    Returns:
        The text that ``parse_duration_ms`` reads back to the same number.
    """
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNITS_MS[unit] == 0:
            return f"{duration_ms // _UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"
