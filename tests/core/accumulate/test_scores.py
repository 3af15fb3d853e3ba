"""The state of scores, and the bins that it counts in."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.accumulate.score_bins import (
    ATOM_BINS,
    ATOMS,
    MIDDLE_ERROR,
    edge_keys,
    middle_scores,
    single_valued,
    terms_of,
)
from pipeline.core.accumulate.scores import Scores, fold_scores, halve_scores
from pipeline.core.events import Cells, Float64s, Group, LabelChanges, Task
from pipeline.core.kernels.scores import KEYS, PARTS

near = st.floats(0, 1, width=32) | st.integers(0, 1000).map(lambda place: float(ATOMS[place]))
GENERATOR = np.random.default_rng(1)
MANY: Float64s = np.sort(
    np.concatenate(
        [
            GENERATOR.random(30_000),
            10 ** -GENERATOR.uniform(0, 15, 5_000),
            1 - 10 ** -GENERATOR.uniform(0, 9, 5_000),
            ATOMS,
            np.nextafter(ATOMS.astype(np.float32), np.float32(0)),
            np.nextafter(ATOMS.astype(np.float32), np.float32(1)),
        ]
    ).astype(np.float32)
).astype(np.float64)


def fold(score: Float64s, label: Float64s, sign: int = 1, group: Group | None = None) -> dict[int, Scores]:
    zeros = np.zeros(len(score), np.int32)
    groups = [group or Group("m", "1", Task.BINARY)]
    cells = Cells(np.arange(len(score), dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), groups)
    truth = label.astype(np.int64)
    return fold_scores(LabelChanges(truth, truth, np.full(len(score), sign), ["no", "yes"], score=score), cells)


def test_keys_rise_with_scores() -> None:
    keys = terms_of(MANY).key
    assert (np.diff(keys) >= 0).all()
    assert 0 <= keys[0] <= keys[-1] < KEYS
    assert len(set(ATOM_BINS.tolist())) == len(ATOMS)


def test_the_middle_is_near_every_score_of_its_key() -> None:
    keys = terms_of(MANY).key
    assert np.abs(middle_scores(keys) - MANY).max() <= MIDDLE_ERROR
    inner = (MANY > 1e-6) & (MANY < 1 - 1e-6)
    distance = np.abs(middle_scores(keys) - MANY)[inner] / np.minimum(MANY, 1 - MANY)[inner]
    assert distance.max() <= 2.0**-11 * 1.001


def test_keys_of_one_score_hold_no_other() -> None:
    keys = terms_of(MANY).key
    single = single_valued(keys)
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    low, high = np.minimum.reduceat(MANY, first), np.maximum.reduceat(MANY, first)
    assert (low == high)[single[first]].all()
    assert single[np.isin(MANY, ATOMS)].all()
    assert single[MANY > 1 - 2.0**-13].all()
    assert not single[(MANY > 0.1) & (MANY < 0.9) & ~np.isin(MANY, ATOMS)].any()


@pytest.mark.parametrize("bins", [5, 10, 20])
def test_edges_belong_to_the_bin_below(bins: int) -> None:
    edges = np.array([float(np.float32(place / bins)) for place in range(1, bins)])
    expected = np.searchsorted(edges, MANY, side="left")
    terms = terms_of(MANY)
    assert np.searchsorted(edge_keys(bins), terms.key, side="left").tolist() == expected.tolist()
    assert (terms.part // (PARTS // bins)).tolist() == expected.tolist()


def test_the_logarithms_are_numpys() -> None:
    clipped = np.clip(MANY, 2.0**-23, 1 - 2.0**-23)
    logs = terms_of(MANY).logs
    np.testing.assert_allclose(logs[0], -np.log(clipped), rtol=4e-16, atol=0)
    np.testing.assert_allclose(logs[1], -np.log1p(-clipped), rtol=4e-16, atol=0)


@given(score=st.lists(near, min_size=2, max_size=30), data=st.data())
@settings(max_examples=50, deadline=None)
def test_halves_merge_to_the_whole(score: list[float], data: st.DataObject) -> None:
    label = data.draw(st.lists(st.integers(0, 1), min_size=len(score), max_size=len(score)))
    wire = fold(np.array(score), np.array(label))[0].to_wire()
    halves = halve_scores(wire)
    if halves is None:
        assert all(len(rows.bins.arrays[0]) == 1 for rows in Scores.from_wire(wire).classes.values())
        return
    first, second = map(Scores.from_wire, halves)
    second.merge(first)
    assert second.to_wire() == wire
    assert all(len(orjson.dumps(half)) < len(orjson.dumps(wire)) + 60 for half in halves)


def test_two_scores_of_one_bin_do_not_cancel() -> None:
    state = fold(np.array([0.25 + 2.0**-20]), np.ones(1))[0]
    state.merge(fold(np.array([0.25 + 2.0**-21]), np.ones(1), -1)[0])
    assert state.classes["yes"].bins.is_zero()
    assert not state.is_zero()
    state.merge(fold(np.array([0.25 + 2.0**-21]), np.ones(1))[0])
    state.merge(fold(np.array([0.25 + 2.0**-20]), np.ones(1), -1)[0])
    assert state.is_zero()


def test_a_bin_takes_less_than_three_bytes_on_the_wire() -> None:
    for count in (300, 3_000, 30_000):
        score = GENERATOR.beta(0.8, 2, count).astype(np.float32).astype(np.float64)
        state = fold(score, (GENERATOR.random(count) < score).astype(float))[0]
        bins = sum(len(rows.bins.arrays[0]) for rows in state.classes.values())
        assert len(orjson.dumps(state.to_wire())) <= 3 * bins + 1_500


def test_rows_without_a_score_and_other_tasks_are_passed_over() -> None:
    score = np.array([0.5, np.nan])
    assert fold(score, np.ones(2))[0].to_wire() == fold(score[:1], np.ones(1))[0].to_wire()
    assert fold(score[1:], np.ones(1)) == {}
    assert fold(score, np.ones(2), group=Group("m", "1", Task.MULTICLASS)) == {}
    assert fold(np.empty(0), np.ones(0)) == {}


def test_models_of_one_batch_keep_their_own() -> None:
    """Each with classes of its own, as codes have them."""
    count, models = 400, 40
    model = GENERATOR.integers(0, models, count)
    score = GENERATOR.random(count).astype(np.float32).astype(np.float64)
    truth = GENERATOR.integers(0, 2, count)
    groups = [Group(f"m{number}", "1", Task.BINARY) for number in range(models)]
    numbers = np.arange(models, dtype=np.int32)
    cells = Cells(
        np.arange(count, dtype=np.int32),
        model.astype(np.int32),
        numbers,
        [""] * models,
        np.zeros(models, np.int64),
        groups,
    )
    codes = truth + 2 * model
    states = fold_scores(
        LabelChanges(codes, codes, np.ones(count, np.int64), ["no", "yes"] * models, score=score), cells
    )
    for number in range(models):
        mine = model == number
        alone = fold(score[mine], truth[mine].astype(np.float64))
        assert states[number].to_wire() == alone[0].to_wire()
