"""The registry of accumulators: adding one is a file in ``accumulate``, a file in ``metrics`` and a line here."""

from typing import Any

from pipeline.core.family import Context, Family, References, Report, State

__all__ = ["FAMILIES", "Context", "Family", "References", "Report", "State"]

FAMILIES: tuple[Family[Any], ...] = ()
"""Every family, in the order of their keys on the wire."""
