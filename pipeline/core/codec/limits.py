"""The limits of the events: a limit on everything, the same numbers as in ``schemas/``."""

MAX_BATCH_ROWS = 10_000
"""Rows of one record in the columnar batch layout; bounds what a small record of shared values can grow to."""

MAX_TIMESTAMP_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

MAX_NAME_CHARS = 128
"""Ids, models, hosts, class names, items, and the names of features, segments and metrics."""

MAX_VERSION_CHARS = 64
MAX_SEGMENT_CHARS = 128
MAX_FEATURE_CHARS = 1_024
MAX_PRINCIPAL_CHARS = 256
MAX_DIGEST_CHARS = 128

MAX_CLASS_NUMBER = (1 << 63) - 1
"""The largest absolute value of a class label, a regression value or a label: within 64 bits."""

MAX_EXACT_INTEGER = 1 << 53
"""Up to here every integer is a float64; larger integer labels are texts."""

MAX_NUMBER = 1e100
"""The largest absolute value of a feature, an embedding's number or a resource metric: its square stays finite."""

MAX_LATENCY_MS = 1e9
MAX_FEATURES = 512
MAX_EMBEDDING = 4_096
MAX_SEGMENTS = 8
MAX_SCORES = 1_000
MAX_MEMBERS = 1_000
"""Labels of a multilabel value, items of a ranking, gains of a ranking label."""

MAX_METRICS = 1_000
MAX_ENTRIES = 1_000
"""Entries of a model event's free-form objects."""
