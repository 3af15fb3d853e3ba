"""How far labels have come, against positions in the window and delays one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.delays import NO_CLASS, VALUES_MS, Delays
from pipeline.core.accumulate.past_labels import MAX_CLASSES, PastLabels
from pipeline.core.events import Int64s
from pipeline.core.metrics.maturity import ALL_COME, MIN_LABELS, Age, class_shares, report_maturity

SIZE = 60_000
buckets = st.dictionaries(st.integers(0, 400), st.integers(1, 50), min_size=1, max_size=8)


def sketch_of(counts: dict[int, int]) -> Int64s:
    return np.array(sorted(counts.items()), np.int64)


def past_of(predictions: int, **classes: dict[int, int]) -> PastLabels:
    return PastLabels(predictions, Delays({name: sketch_of(counts) for name, counts in classes.items()}))


@given(buckets, st.integers(-2 * SIZE, 40 * SIZE))
def test_what_has_come_is_counted_from_each_place_in_the_window(counts: dict[int, int], age_ms: int) -> None:
    places, come = 500, 0
    for bucket, count in counts.items():
        # Predictions in the middles of equal parts of the window, each as old as it is by then.
        ages = [age_ms + SIZE * (place + 0.5) / places for place in range(places)]
        come += count * sum(age >= VALUES_MS[bucket] for age in ages)
    told = Age(age_ms, SIZE, final=False).share_come(sketch_of(counts))
    assert told == pytest.approx(come / places / sum(counts.values()), abs=0.6 / places)


@given(buckets, st.lists(st.integers(-(2**50), 2**50), min_size=2, max_size=2))
def test_more_has_come_later(counts: dict[int, int], ages_ms: list[int]) -> None:
    early, late = (Age(age_ms, SIZE, final=False).share_come(sketch_of(counts)) for age_ms in sorted(ages_ms))
    assert 0 <= early <= late <= 1


def test_coverage_and_maturity_are_those_of_past_windows() -> None:
    past = past_of(200, a={0: 40, 600: 60})  # 40 at once, 60 a year or so later
    values, reasons = report_maturity(past, Age(0, SIZE, final=False))
    assert values == {"expected_label_coverage": pytest.approx(0.2), "label_maturity": pytest.approx(0.4)}
    assert not reasons
    values, _ = report_maturity(past, Age(0, SIZE, final=True))
    assert values == {"expected_label_coverage": 0.5, "label_maturity": 1.0}


def test_without_history_only_a_final_window_is_mature() -> None:
    few = past_of(1_000, a={0: MIN_LABELS - 1})
    assert report_maturity(few, Age(0, SIZE, final=False)) == (
        {"expected_label_coverage": None, "label_maturity": None},
        {"expected_label_coverage": "no_history", "label_maturity": "no_history"},
    )
    assert report_maturity(PastLabels(), Age(0, SIZE, final=True)) == (
        {"expected_label_coverage": None, "label_maturity": 1.0},
        {"expected_label_coverage": "no_history"},
    )


def test_labels_that_lag_have_not_come() -> None:
    values, _ = report_maturity(past_of(100, a={0: 50}), Age(-(1 << 60), SIZE, final=False))
    assert values == {"expected_label_coverage": 0.0, "label_maturity": 0.0}


def test_each_class_has_its_share_and_rare_ones_one_together() -> None:
    quick, slow = {0: 30}, {0: 10, 600: 30}
    past = past_of(1_000, quick=quick, slow=slow, rare={0: 20}, seldom={600: 20})
    age = Age(0, SIZE, final=False)
    shares = class_shares(past, age)
    assert shares is not None
    assert shares.of("quick") == 1.0
    assert shares.of("slow") == pytest.approx(0.25)
    assert shares.of("rare") == shares.of("seldom") == shares.of("never seen") == pytest.approx(0.5)
    assert shares.least == pytest.approx(0.25)
    assert class_shares(past, Age(0, SIZE, final=True)) == ALL_COME
    assert class_shares(past_of(5, a={0: 5}), age) is None
    few = class_shares(past_of(100, quick=quick, rare={600: 10}), age)
    assert few is not None
    assert few.of("rare") == pytest.approx(0.75)  # that of all


def test_a_window_of_many_classes_is_remembered_in_bounded_space() -> None:
    classes = {f"c{number:03}": {number: 1 + number % 7} for number in range(200)}
    whole = past_of(5_000, **classes)
    past = PastLabels.of_window(5_000, whole.delays)
    assert len(past.delays.sketches) == MAX_CLASSES + 1
    assert np.array_equal(past.delays.of_all(), whole.delays.of_all())
    rest = int(past.delays.sketches[NO_CLASS][:, 1].sum())
    assert rest == sum(sorted((1 + number % 7 for number in range(200)), reverse=True)[MAX_CLASSES:])
    shares = class_shares(past, Age(0, SIZE, final=False))
    assert shares is not None
    assert math.isfinite(shares.rest)


@given(st.lists(st.tuples(st.integers(0, 9), buckets), max_size=5), st.randoms())
def test_past_windows_add_up_in_any_order(windows: list[tuple[int, dict[int, int]]], rng: object) -> None:
    def total(order: list[tuple[int, dict[int, int]]]) -> object:
        whole = PastLabels()
        for predictions, counts in order:
            whole.merge(PastLabels.from_wire(past_of(predictions, a=counts, b={3: 1}).to_wire()))
        return whole.to_wire()

    shuffled = list(windows)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert total(shuffled) == total(windows)
