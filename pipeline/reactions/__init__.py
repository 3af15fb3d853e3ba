"""The reaction plane: what happens after an alert. At least once, idempotent by event id."""
