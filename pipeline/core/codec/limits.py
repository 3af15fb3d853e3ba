"""The limits of the events: a limit on everything, the same numbers as in ``schemas/``."""

MAX_BATCH_ROWS = 10_000
"""Rows of one record in the columnar batch layout."""

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
