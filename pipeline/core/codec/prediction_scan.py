"""What a scan must know of predictions."""

from collections.abc import Sequence

import numpy as np

from pipeline.core.codec import limits
from pipeline.core.codec.scan import Field, Kind, Scan, make_fields, scan_records
from pipeline.core.codec.scanned import code_names
from pipeline.core.events import Task
from pipeline.core.kernels.scan_cells import BOOLEAN, FLOAT, INTEGER, TEXT

MODEL, VERSION, TASK = range(3)
"""The ``CODE`` columns of a scan."""

SCORE, LATENCY = range(2)
"""Its columns of optional numbers."""

TASKS = {task.name.lower(): task for task in Task}

_FIELDS = make_fields(
    [
        Field("prediction_id", Kind.ID, 1, limits.MAX_NAME_CHARS, required=True),
        Field("model", Kind.CODE, 1, limits.MAX_NAME_CHARS, MODEL, required=True),
        Field("model_version", Kind.CODE, 1, limits.MAX_VERSION_CHARS, VERSION, required=True),
        Field("timestamp_ms", Kind.TIME, 0, limits.MAX_TIMESTAMP_MS, required=True),
        Field("task", Kind.CODE, 1, limits.MAX_NAME_CHARS, TASK, required=True),
        Field("prediction", Kind.TOKEN, required=True),
        Field("score", Kind.REAL, 0, 1, SCORE),
        Field("latency_ms", Kind.REAL, 0, limits.MAX_LATENCY_MS, LATENCY),
        Field("features", Kind.FEATURE, -limits.MAX_NUMBER, limits.MAX_NUMBER, most=limits.MAX_FEATURES),
        Field("segments", Kind.SEGMENT, most=limits.MAX_SEGMENTS),
        Field("scores", Kind.CHANCE, 0, 1, most=limits.MAX_SCORES),
        Field("embedding", Kind.NUMBERS, -limits.MAX_NUMBER, limits.MAX_NUMBER),
        Field("principal", Kind.NOTE, 0, limits.MAX_PRINCIPAL_CHARS),
        Field("input_digest", Kind.NOTE, 0, limits.MAX_DIGEST_CHARS),
    ]
)
_REALS = 2
_TOKENS = {
    Task.BINARY: (TEXT, INTEGER, BOOLEAN),
    Task.MULTICLASS: (TEXT, INTEGER, BOOLEAN),
    Task.REGRESSION: (INTEGER, FLOAT),
}
"""How the prediction of a task is plainly written; a set of labels or a ranking is left to the typed decoder."""


def scan_predictions(values: Sequence[bytes], *, columnar: bool) -> Scan:
    """Read what is plain of a run of records.

    Args:
        values: the records.
        columnar: whether each holds many rows.

    Returns:
        The scan; records whose prediction does not plainly suit the task are not good.
    """
    scan = scan_records(_FIELDS, _REALS, values, columnar=columnar, most_rows=limits.MAX_BATCH_ROWS)
    tasks = code_names(scan, TASK)
    suits = np.zeros((max(len(tasks), 1), len((INTEGER, FLOAT, TEXT, BOOLEAN))), bool)
    for place, name in enumerate(tasks):
        suits[place, list(_TOKENS.get(TASKS[name], ())) if name in TASKS else []] = True
    return scan.without(~suits[scan.cells.codes[TASK], scan.cells.kinds])
