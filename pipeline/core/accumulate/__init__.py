"""Mergeable accumulators: how rows become small exact states, one file a family."""
