"""What a window must say of sets of labels and of rankings, with fractions and plain loops."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

Json = Any


def set_numbers(rows: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """The quality of predicted sets.

    Args:
        rows: predicted and true labels, as the events have them.
    """
    named = [({_name(one) for one in guess}, {_name(one) for one in label}) for guess, label in rows]
    labels = {one for guess, label in named for one in guess | label}
    if not named:
        return dict.fromkeys(("hamming_loss", "f1_micro", "precision_samples", "jaccard_samples"))
    wrong = sum(len(guess ^ label) for guess, label in named)
    hits, sizes = sum(len(guess & label) for guess, label in named), sum(len(g) + len(t) for g, t in named)
    support = {one: sum(one in label for _, label in named) for one in labels}
    return {
        "hamming_loss": wrong / (len(named) * len(labels)) if labels else None,
        "f1_micro": 2 * hits / sizes if sizes else None,
        "precision_samples": _mean([Fraction(len(g & t), len(g)) for g, t in named if g]),
        "jaccard_samples": _mean([Fraction(len(g & t), len(g | t)) for g, t in named if g | t]),
        "per_class": {one: {"support": rows_of} for one, rows_of in support.items()},
    }


def _name(label: Json) -> str:
    return label if isinstance(label, str) else str(int(label))


def _mean(shares: Sequence[Fraction]) -> float | None:
    """Of shares that were rounded to doubles, as whoever looks at one row has them."""
    return float(sum(Fraction(float(share)) for share in shares) / len(shares)) if shares else None


def ranking_numbers(rows: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """The quality of rankings, over the rows where some item is worth something.

    Args:
        rows: items, best first, and what each is worth, as the events have them.
    """
    ndcg, first, shares = [], [], []
    for guess, gains in rows:
        worth = {item: gain for item, gain in gains.items() if gain > 0}
        if not worth:
            continue
        ranked = [worth.get(_name(item), 0.0) for item in guess]
        best = sorted(worth.values(), reverse=True)
        ndcg.append(_discounted(ranked[:5]) / _discounted(best[:5]))
        hits = [rank for rank, gain in enumerate(ranked, 1) if gain]
        first.append(Fraction(1, hits[0]) if hits else Fraction(0))
        shares.append(Fraction(len(hits), len(worth)))
    return {
        "ndcg_at_5": math.fsum(ndcg) / len(ndcg) if ndcg else None,
        "mrr": _mean(first),
        "recall_at_10": _mean(shares),
        "hit_rate_at_1": sum(one == 1 for one in first) / len(first) if first else None,
    }


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def class_score_numbers(rows: Sequence[tuple[dict[str, Json], Json]]) -> dict[str, Json]:
    """The quality of the probabilities that a multiclass model gave its classes, where it gave any.

    Args:
        rows: events and the true classes.
    """
    logs, squares, ranks, sure = [], [], [], 0
    for event, label in rows:
        given = (event.get("scores") or {}).items()
        listed = {name: float(np.float32(score)) for name, score in given if score is not None}
        if not listed:
            continue
        chance = listed.pop(_name(label), 0.0)
        logs.append(-math.log(min(max(chance, 2.0**-23), 1 - 2.0**-23)))
        # Rounded as whoever sums one row's squares has it, from the least on.
        squares.append(Fraction(sum(sorted(one * one for one in listed.values())) + (1 - chance) * (1 - chance)))
        ranks.append(1 + sum(one >= chance for one in listed.values()))
        sure += event["scores"].get(_name(event["prediction"])) is not None
    return {
        "log_loss": math.fsum(logs) / len(logs) if logs else None,
        "brier": _mean(squares),
        "top_k_accuracy_3": sum(rank <= 3 for rank in ranks) / len(ranks) if ranks else None,
    } | ({} if sure else {"ece": None})
