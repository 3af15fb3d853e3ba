"""Every number of rankings against scikit-learn and plain loops, in shards, merged and taken back."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from pipeline.core.accumulate.ranking import Ranking, fold_ranking
from pipeline.core.events import Cells, Group, LabelChanges, Ragged, Task
from pipeline.core.family import Context, Report
from pipeline.core.metrics.ranking import report_ranking
from pipeline.core.metrics.settings import QualitySettings

CUTOFFS = (1, 3, 10)
Rows = Sequence[tuple[list[int], dict[int, float]]]
"""Items, best first, and what some of them are worth."""


def ragged(lists: Sequence[Sequence[int]], weights: Sequence[float] | None = None) -> Ragged:
    flat = np.array([item for one in lists for item in one], np.int64)
    return Ragged(np.cumsum([0, *map(len, lists)]), flat, np.ones(len(flat)) if weights is None else np.array(weights))


def folded(rows: Rows, sign: int = 1, cutoffs: tuple[int, ...] = CUTOFFS) -> Ranking:
    count = len(rows)
    zeros, signs = np.zeros(count, np.int32), np.full(count, sign, np.int64)
    gains = [dict(sorted(one.items())) for _, one in rows]
    stated = ragged([list(one) for one in gains], [gain for one in gains for gain in one.values()])
    guessed = ragged([guess for guess, _ in rows])
    changes = LabelChanges(signs, signs, signs, [], guessed=guessed, stated=stated, cutoffs=cutoffs)
    group = Group("m", "1", Task.RANKING)
    cells = Cells(np.arange(count, dtype=np.int32), zeros, zeros[:1], [""], np.zeros(1, np.int64), [group])
    return fold_ranking(changes, cells).get(0, Ranking())


def report(state: Ranking, cutoffs: tuple[int, ...] = CUTOFFS) -> Report:
    quality = QualitySettings(cutoffs=cutoffs)
    context = Context("m", "1", Task.RANKING, "", 60_000, False, None, 0.2, 0.1, quality)  # noqa: FBT003 - final
    return report_ranking(state, context)


def drawn(rng: random.Random, count: int, *, whole: bool) -> Rows:
    rows = []
    for _ in range(count):
        items = [rng.getrandbits(64) - 2**63 for _ in range(rng.randrange(2, 30))]
        gains = {item: rng.choice([0.0, 0.0, 1.0, 2.5, 3.0, rng.random()]) for item in items}
        if whole:  # as scikit-learn has it: all items are ranked, and all have a gain
            rows.append((rng.sample(items, len(items)), gains))
            continue
        for item in rng.sample(items, rng.randrange(len(items))):
            gains.pop(item)
        rows.append((rng.choices(items, k=rng.randrange(20)), {item: gain - 0.5 for item, gain in gains.items()}))
    return rows


def relevant(rows: Rows) -> Rows:
    return [(guess, gains) for guess, gains in rows if any(gain > 0 for gain in gains.values())]


def plain(rows: Rows, cutoff: int) -> dict[str, float]:
    """The definitions, in loops."""
    found: dict[str, list[float]] = {name: [] for name in ("ndcg", "precision", "recall", "map", "hit_rate")}
    found["mrr"] = []
    for guess, gains in relevant(rows):
        worth = {item: gain for item, gain in gains.items() if gain > 0}
        seen: set[int] = set()
        ranked = []
        for item in guess:
            ranked.append(worth.get(item, 0.0) if item not in seen else 0.0)
            seen.add(item)
        ideal = sorted(worth.values(), reverse=True)
        dcg = [sum(gain / math.log2(i + 2) for i, gain in enumerate(one[:cutoff])) for one in (ranked, ideal)]
        hits = [i for i, gain in enumerate(ranked) if gain > 0]
        first = [i for i in hits if i < cutoff]
        found["ndcg"].append(dcg[0] / dcg[1])
        found["precision"].append(len(first) / cutoff)
        found["recall"].append(len(first) / len(worth))
        found["map"].append(sum((n + 1) / (i + 1) for n, i in enumerate(first)) / min(cutoff, len(worth)))
        found["hit_rate"].append(bool(first))
        found["mrr"].append(1 / (hits[0] + 1) if hits else 0.0)
    means = {name: math.fsum(values) / len(values) for name, values in found.items()}
    return {"mrr": means.pop("mrr"), **{f"{name}_at_{cutoff}": value for name, value in means.items()}}


@pytest.mark.parametrize("seed", range(4))
def test_every_number_is_that_of_plain_loops_in_any_shards(seed: int) -> None:
    rng = random.Random(seed)
    rows, extra = drawn(rng, 200, whole=False), drawn(rng, 20, whole=False)
    state = folded(extra)
    for low, high in ((150, 200), (0, 40), (40, 150)):
        state.merge(Ranking.from_wire(folded(rows[low:high]).to_wire()))
    state.merge(folded(extra, sign=-1))
    assert state.to_wire() == folded(rows).to_wire()
    quality = report(state).values["quality"]
    for cutoff in CUTOFFS:
        for name, value in plain(rows, cutoff).items():
            assert quality[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("seed", range(4))
def test_ndcg_is_that_of_scikit_learn(seed: int) -> None:
    rows = relevant(drawn(random.Random(seed), 100, whole=True))
    quality = report(folded(rows)).values["quality"]
    for cutoff in CUTOFFS:
        scores = [
            ndcg_score([[gains[item] for item in guess]], [list(range(len(guess), 0, -1))], k=cutoff)
            for guess, gains in rows
        ]
        assert quality[f"ndcg_at_{cutoff}"] == pytest.approx(np.mean(scores), rel=1e-12)


def test_average_precision_is_that_of_scikit_learn_without_a_cutoff() -> None:
    rows = relevant(drawn(random.Random(7), 100, whole=True))
    scores = [
        average_precision_score([gains[item] > 0 for item in guess], list(range(len(guess), 0, -1)))
        for guess, gains in rows
    ]
    assert report(folded(rows, cutoffs=(50,)), (50,)).values["quality"]["map_at_50"] == pytest.approx(np.mean(scores))


def test_a_perfect_ranking_is_perfect_whatever_the_gains() -> None:
    gains = {1: 5e-324, 2: 9.2e18, 3: 1e-3, 4: 9.2e18}
    quality = report(folded([([2, 4, 3, 1], gains)] * 3)).values["quality"]
    assert {value for name, value in quality.items() if name.startswith(("ndcg", "map", "hit", "mrr"))} == {1.0}


def test_cutoffs_that_were_changed_count_the_rows_they_saw() -> None:
    state = folded([([1], {1: 1.0})], cutoffs=(1, 5))
    state.merge(folded([([2], {1: 1.0})], cutoffs=(5, 7)))
    quality = report(state, (1, 5, 7, 9)).values["quality"]
    assert [quality[f"hit_rate_at_{cutoff}"] for cutoff in (1, 5, 7, 9)] == [1.0, 0.5, 0.0, None]
    assert quality["mrr"] == 0.5


@pytest.mark.parametrize(("rows", "code"), [([], "no_labels"), ([([1], {1: 0.0}), ([2], {})], "no_relevant_items")])
def test_without_relevant_items_there_is_no_number(rows: Any, code: str) -> None:
    found = report(folded(rows) if rows else Ranking())
    assert {value for name, value in found.values["quality"].items() if name != "intervals"} == {None}
    assert set(found.reasons.values()) == {code}
    assert found.reasons["quality.ndcg_at_3"] == code


@pytest.mark.parametrize("name", ["ndcg_at_3", "mrr", "map_at_10", "recall_at_3"])
def test_intervals_hold_as_often_as_they_say(name: str) -> None:
    rng = random.Random(5)
    rows = drawn(rng, 5_000, whole=False)
    value = report(folded(rows)).values["quality"][name]
    held = 0
    for _ in range(150):
        quality = report(folded([rows[rng.randrange(5_000)] for _ in range(200)])).values["quality"]
        interval: Any = quality["intervals"][name]
        held += interval["low"] <= value <= interval["high"]
    assert 0.9 < held / 150 < 0.995
