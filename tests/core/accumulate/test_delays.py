"""The delays of labels, against sorted lists; the laws of merging stand in ``test_families``."""

from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.delays import NO_CLASS, RELATIVE_ERROR, Delays, delay_quantile, fold_delays, halve_delays
from pipeline.core.events import Cells, Group, LabelChanges, Task
from pipeline.core.families import Context
from pipeline.core.metrics.delays import report_delays

CLASSES = ["no", "yes"]


def fold(delay_ms: Sequence[int], label: Sequence[int], task: Task = Task.BINARY) -> Delays:
    rows = len(delay_ms)
    zeros = np.zeros(rows, np.int32)
    cells = Cells(
        np.arange(rows, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [Group("m", "1", task)]
    )
    changes = LabelChanges(
        np.zeros(rows, np.int64), np.array(label, np.int64), np.ones(rows, np.int64), CLASSES,
        delay_ms=np.array(delay_ms, np.int64),
    )  # fmt: skip
    return fold_delays(changes, cells).get(0, Delays())


@given(st.lists(st.integers(-5, 2**35) | st.integers(0, 50), min_size=1), st.floats(0, 1))
def test_a_quantile_is_the_delay_of_its_rank(delay_ms: list[int], share: float) -> None:
    told = delay_quantile(fold(delay_ms, [index % 2 for index in range(len(delay_ms))]).of_all(), share)
    true = max(0, sorted(delay_ms)[int(share * (len(delay_ms) - 1))])
    assert abs(told - true) <= RELATIVE_ERROR * true * (1 + 1e-12)


def test_each_class_has_its_own_sketch() -> None:
    state = fold([10, 10_000, 12], [0, 1, 0])
    assert {name: int(sketch[:, 1].sum()) for name, sketch in state.sketches.items()} == {"no": 2, "yes": 1}
    assert delay_quantile(state.sketches["yes"], 0.5) == pytest.approx(10_000, rel=RELATIVE_ERROR)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.RANKING, Task.MULTILABEL])
def test_labels_that_are_no_classes_count_together(task: Task) -> None:
    huge = int(np.array([-1e300]).view(np.int64)[0])  # a number's bits are no index
    assert list(fold([10, 20], [huge, 3], task).sketches) == [NO_CLASS]


def test_a_large_state_is_cut_by_class() -> None:
    wire = fold([10, 20, 30], [0, 1, 0]).to_wire()
    one, other = halve_delays(wire) or ({}, {})
    merged = Delays.from_wire(one)
    merged.merge(Delays.from_wire(other))
    assert merged.to_wire() == wire
    assert halve_delays(one) is None


def test_a_batch_without_delays_counts_none() -> None:
    none = np.zeros(1, np.int32)
    cells = Cells(none, none, none, [""], np.zeros(1, np.int64), [Group("m", "1", Task.BINARY)])
    assert (
        fold_delays(LabelChanges(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64), []), cells) == {}
    )


def test_the_report_agrees_with_numpy() -> None:
    delay_ms = np.random.default_rng(4).exponential(90_000, 2_000).astype(np.int64)
    context = Context("m", "1", Task.BINARY, "", 60_000, False, None, 0.2, 0.1)  # noqa: FBT003 - final
    section = report_delays(fold(delay_ms.tolist(), [0] * 2_000), context).values["label_delay_ms"]
    for name, value in section.items():
        true = np.quantile(delay_ms, float(name[1:]) / 100, method="lower")
        assert value == pytest.approx(true, rel=RELATIVE_ERROR * (1 + 1e-12)), name


def test_the_wire_form_is_small() -> None:
    delay_ms = np.random.default_rng(5).exponential(3_600_000, 10_000).astype(np.int64)
    assert len(orjson.dumps(fold(delay_ms.tolist(), [0] * 10_000).to_wire())) < 2_000
