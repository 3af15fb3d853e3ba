from typing import Any

import numpy as np
import orjson

from pipeline.publishing.columns import PREDICTIONS, RESOURCES, Columns
from pipeline.publishing.encoder import Encoder, Entry, Record

GROUP = (PREDICTIONS, "m", "1", "multiclass")
COUNTS = {"predictions": 1, "resources": 1}


class Rejections:
    def __init__(self) -> None:
        self.rows = 0
        self.reasons: list[str] = []

    def __call__(self, rows: int, why: str) -> None:
        self.rows += rows
        self.reasons.append(why)


def row(key: Any, prediction: Any = 1, group: Any = GROUP, **fields: Any) -> tuple[Any, ...]:
    values = {"prediction_id": key, "timestamp_ms": 7, "prediction": prediction, **fields}
    return (group, *(values.get(name) for name in PREDICTIONS.row_fields))


def encode(
    entries: list[Entry], rejections: Rejections, batch_rows: int = 100, record_bytes_max: int = 10_000
) -> list[Record]:
    parked: dict[str, list[Entry]] = {}
    records = list(Encoder(batch_rows, record_bytes_max, rejections).records(entries, COUNTS, parked))
    assert not parked
    return records


def predictions_in(records: list[Record]) -> list[Any]:
    return [value for record in records for value in orjson.loads(record.value)["prediction"]]


def test_one_bad_row_among_many_is_rejected_alone() -> None:
    rejections = Rejections()
    rows: list[Entry] = [row(f"k{at}", at if at != 37 else object()) for at in range(100)]
    records = encode(rows, rejections)
    assert predictions_in(records) == [at for at in range(100) if at != 37]
    assert rejections.rows == 1
    assert "object" in rejections.reasons[0]


def test_records_stay_under_the_limit_and_learn_how_many_rows_fit() -> None:
    rejections = Rejections()
    encoder = Encoder(1_000, 10_000, rejections)
    rows: list[Entry] = [row(f"k{at}", at, principal="x" * 90) for at in range(500)]
    first = list(encoder.records(rows, COUNTS, {}))
    again = list(encoder.records(rows, COUNTS, {}))
    for records in (first, again):
        assert predictions_in(records) == list(range(500))
        assert max(len(record.value) for record in records) <= 10_000
        assert sum(record.rows for record in records) == 500
    assert len(again) < 10  # 120 bytes a row, 80 rows a record
    assert rejections.rows == 0


def test_a_row_longer_than_a_record_is_rejected_with_the_mend() -> None:
    rejections = Rejections()
    records = encode([row("a", 1), row("b", 2, principal="x" * 20_000), row("c", 3)], rejections)
    assert predictions_in(records) == [1, 3]
    assert rejections.rows == 1
    assert "message.max.bytes" in rejections.reasons[0]


def test_a_classifiers_own_class_names_are_texts() -> None:
    rejections = Rejections()
    by_number: Any = dict(zip(np.array([3, 5]), np.array([0.25, 0.75]), strict=True))
    by_text: Any = dict(zip(np.array(["a", "b"]), [0.25, 0.75], strict=True))
    features: Any = dict(zip(np.array(["x", "y"]), [1, 2], strict=True))
    rows: list[Entry] = [row("a", scores=by_number, features=features), row("b", scores=by_text)]
    [record] = encode(rows, rejections)
    event = orjson.loads(record.value)
    assert event["scores"] == [{"3": 0.25, "5": 0.75}, {"a": 0.25, "b": 0.75}]
    assert event["features"] == {"x": [1, None], "y": [2, None]}


def test_entries_of_unknown_topics_are_parked_whole() -> None:
    rejections = Rejections()
    batch = Columns(GROUP, ["c"], {"timestamp_ms": 1, "prediction": [1]})
    reading: Entry = ((RESOURCES,), "host", {"host": "host"})
    parked: dict[str, list[Entry]] = {}
    rows: list[Entry] = [row("a"), batch, row("b"), reading]
    records = list(Encoder(10, 1_000, rejections).records(rows, {"resources": 1}, parked))
    assert [record.stream.topic for record in records] == ["resources"]
    assert parked == {"predictions": [rows[0], rows[2], batch]}


def test_what_breaks_one_group_does_not_touch_the_others() -> None:
    rejections = Rejections()
    # Two batches of one shape whose values cannot be compared.
    unlike: list[Entry] = [
        Columns(GROUP, ["a"], {"timestamp_ms": 1, "prediction": [1], "score": {"x": np.arange(2)}}) for _ in range(2)
    ]
    fine: Entry = Columns((PREDICTIONS, "m", "2", "multiclass"), ["b"], {"timestamp_ms": 1, "prediction": [3]})
    assert predictions_in(encode([*unlike, fine], rejections)) == [3]
    assert rejections.rows == 2
