"""The two processors: pure state machines that turn input records into partials, windows and alerts."""
