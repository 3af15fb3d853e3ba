"""What a window event must say of the rows in its window, recomputed with fractions and plain loops."""

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.audit.lists import class_score_numbers, ranking_numbers, set_numbers
from tests.audit.truth import Cell, Prediction

Json = Any


def mean(values: Sequence[float]) -> float:
    """The exact mean, rounded once."""
    return float(sum(map(Fraction, values)) / len(values))


def window_numbers(task: str, cell: Cell, reference: "Reference | None", drift_rows: int) -> dict[str, Json]:
    """The numbers of a window event that its rows decide.

    Args:
        task: what the model predicts.
        cell: the rows in the window.
        reference: what drift is measured against.
        drift_rows: the fewest rows with features that are compared.
    """
    rows = cell.predictions
    judged = [(row.event["prediction"], max(row.labels)[2]) for row in rows if row.labels]
    usable = [(guess, label) for guess, label in judged if _usable(task, label)]
    labelled = len(usable)
    quality = _QUALITY[task](usable)
    if task == "binary":
        scored = [(row, max(row.labels)[2]) for row in rows if row.labels and row.event.get("score") is not None]
        quality |= _scores([(row.event, label) for row, label in scored if _usable(task, label)])
    if task == "multiclass":
        ends = [(row.event, max(row.labels)[2]) for row in rows if row.labels]
        quality |= class_score_numbers([(event, label) for event, label in ends if _usable(task, label)])
    latencies = [float(row.event["latency_ms"]) for row in rows if row.event.get("latency_ms") is not None]
    return {
        "counts": {
            "predictions": len(rows),
            "labelled": labelled,
            "duplicates": cell.duplicates,
            "late": sum(row.late for row in rows),
            "labels": sum(len(row.labels) for row in rows),
            "mismatched": len(judged) - labelled,
            "unmatched_labels": cell.unmatched,
        },
        "label_coverage": labelled / len(rows) if rows else None,
        "label_maturity": 1.0,
        "label_delay_ms": _delays(task, rows),
        "quality": quality,
        "latency_ms": {
            "mean": mean(latencies) if latencies else None,
            "max": max(latencies) if latencies else None,
        },
        "data_quality": _data_quality(rows),
        "drift": _drift(rows, reference, drift_rows),
    }


def _delays(task: str, rows: Sequence[Prediction]) -> dict[str, Json]:
    """How long the labels that count took, as a sketch has it that cuts each octave into 16 equal parts."""
    counted = [(max(row.labels), row.event["timestamp_ms"]) for row in rows if row.labels]
    took = sorted(max(0, time - made) for (time, _, label), made in counted if _usable(task, label))
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    return {name: _bucketed(took[int(q * (len(took) - 1))], 16) if took else None for name, q in shares.items()}


def feature_rows(cell: Cell) -> int:
    """How many rows of a window carry features."""
    return len(_features(cell.predictions))


# --- quality ---------------------------------------------------------------------------------------------------------


def _usable(task: str, label: Json) -> bool:
    if task == "regression":
        return isinstance(label, int | float)
    if task == "multilabel":
        return isinstance(label, list)
    if task == "ranking":
        return isinstance(label, dict)
    return isinstance(label, str | int) or (isinstance(label, float) and label.is_integer())


def _name(label: Json) -> str:
    return label if isinstance(label, str) else str(int(label))


Z = 1.959963984540054
"""The normal deviate of a two-sided interval at 0.95."""


def _classes(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    named = [(_name(guess), _name(label)) for guess, label in pairs]
    if not named:
        none = dict.fromkeys(("accuracy", "f1_macro", "balanced_accuracy", "mcc", "cohen_kappa"))
        return none | {"intervals": {}, "corrected": {"accuracy": None}}
    rows, right = len(named), sum(guess == label for guess, label in named)
    scores, recalls = [], []
    chance = by_guess = by_label = 0
    for one in {name for pair in named for name in pair}:
        guessed, true = sum(guess == one for guess, _ in named), sum(label == one for _, label in named)
        found = sum(guess == label == one for guess, label in named)
        scores.append(2 * found / (guessed + true))
        recalls += [found / true] if true else []
        chance, by_guess, by_label = chance + guessed * true, by_guess + guessed**2, by_label + true**2
    spread = (rows**2 - by_guess) * (rows**2 - by_label)
    return {
        "accuracy": right / rows,
        "f1_macro": math.fsum(scores) / len(scores),
        "balanced_accuracy": math.fsum(recalls) / len(recalls),
        "mcc": (right * rows - chance) / math.sqrt(spread) if spread else None,
        "cohen_kappa": (right * rows - chance) / (rows**2 - chance) if rows**2 != chance else None,
        "intervals": {"accuracy": _wilson(right, rows)},
        # The window is final: no label is to come that would change anything.
        "corrected": {"accuracy": right / rows},
    }


def _binary(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """The same, and the ratios of the positive class: "1" where it was seen, else the greater of two names."""
    named = [(_name(guess), _name(label)) for guess, label in pairs]
    seen = sorted({name for pair in named for name in pair})
    positive = "1" if "1" in seen else seen[1] if len(seen) == 2 else None
    ratios: dict[str, Json] = dict.fromkeys(("precision", "recall", "specificity"))
    if positive is not None:
        sides = [(guess == positive, label == positive) for guess, label in named]
        ratios["precision"] = _share([label for guess, label in sides if guess])
        ratios["recall"] = _share([guess for guess, label in sides if label])
        ratios["specificity"] = _share([not guess for guess, label in sides if not label])
    return _classes(pairs) | ratios


def _scores(rows: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    """Mean losses of (event, label) pairs with scores, as floats of 32 bits."""
    seen = sorted({_name(one) for event, label in rows for one in (event["prediction"], label)})
    positive = "1" if "1" in seen else seen[1] if len(seen) == 2 else None
    if positive is None:
        return dict.fromkeys(("brier", "log_loss"))
    pairs = [
        (struct.unpack("f", struct.pack("f", event["score"]))[0], _name(label) == positive) for event, label in rows
    ]
    chances = [min(max(score if hit else 1 - score, 2.0**-23), 1 - 2.0**-23) for score, hit in pairs]
    return {
        "brier": float(sum((Fraction(score) - hit) ** 2 for score, hit in pairs) / len(pairs)),
        "log_loss": mean([-math.log(chance) for chance in chances]),
    }


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None


def _wilson(hits: int, rows: int) -> dict[str, Json]:
    """Where the share's distance from a bound is ``Z`` standard errors of that bound."""
    a, b, c = rows + Z * Z, 2 * hits + Z * Z, hits * hits / rows
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return {"low": (b - root) / (2 * a), "high": (b + root) / (2 * a)}


def _errors(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    # The sums are of differences that were rounded once, as any reader of the two numbers would have them.
    errors = [float(guess) - float(label) for guess, label in pairs]
    names = ("mae", "mse", "bias", "rmse", "mape", "smape", "msle", "r2", "explained_variance", "residual_p50")
    if not errors:
        return dict.fromkeys((*names, "median_absolute_error")) | {"intervals": {}}
    numbers = [(float(guess), float(label)) for guess, label in pairs]
    sizes = [abs(error) for error in errors]
    mse = sum(Fraction(error) ** 2 for error in errors) / len(errors)
    spread, left = _variance([label for _, label in numbers]), _variance(errors)
    logs = all(min(pair) > -1 for pair in numbers)
    bucketed = [_bucketed(size) for size in sorted(sizes)]
    return {
        "mae": mean(sizes),
        "mse": float(mse),
        "bias": mean(errors),
        "rmse": math.sqrt(mse),
        "mape": mean([size / max(abs(label), 2.0**-52) for size, (_, label) in zip(sizes, numbers, strict=True)]),
        "smape": mean([2 * abs(a - b) / (abs(a) + abs(b)) if a or b else 0.0 for a, b in numbers]),
        "msle": mean([(math.log1p(a) - math.log1p(b)) ** 2 for a, b in numbers]) if logs else None,
        "r2": float(1 - mse / spread) if spread else None,
        "explained_variance": float(1 - left / spread) if spread else None,
        "residual_p50": _bucketed(sorted(errors)[(len(errors) - 1) // 2]),
        "median_absolute_error": (bucketed[(len(errors) - 1) // 2] + bucketed[len(errors) // 2]) / 2,
        "intervals": {"mae": _around(sizes, 0.0), "bias": _around(errors, -math.inf)},
    }


def _variance(numbers: Sequence[float]) -> Fraction:
    middle = Fraction(sum(map(Fraction, numbers))) / len(numbers)
    return Fraction(sum((Fraction(number) - middle) ** 2 for number in numbers)) / len(numbers)


def _around(numbers: Sequence[float], least: float) -> dict[str, Json] | None:
    variance = _variance(numbers)
    if not variance:
        return None
    half = Z * math.sqrt(variance / (len(numbers) - 1))
    return {"low": max(mean(numbers) - half, least), "high": mean(numbers) + half}


def _bucketed(number: float, parts: int = 64) -> float:
    """A number as a sketch has it that cuts each octave into equal parts: the harmonic mean of a part's ends."""
    if abs(number) < 2.0**-64:
        return 0.0
    mantissa, exponent = math.frexp(abs(number))
    place = math.floor(mantissa * 2 * parts)
    low, high = place / (2 * parts), (place + 1) / (2 * parts)
    return math.copysign(math.ldexp(2 * low * high / (low + high), exponent), number)


def _sets(pairs: Sequence[tuple[Json, Json]]) -> dict[str, Json]:
    exact = sum({_name(one) for one in guess} == {_name(one) for one in label} for guess, label in pairs)
    if not pairs:
        return {"subset_accuracy": None, **set_numbers(pairs), "intervals": {}}
    intervals = {"subset_accuracy": _wilson(exact, len(pairs))}
    return {"subset_accuracy": exact / len(pairs), **set_numbers(pairs), "intervals": intervals}


_QUALITY: Mapping[str, Callable[[Sequence[tuple[Json, Json]]], dict[str, Json]]] = {
    "binary": _binary,
    "multiclass": _classes,
    "regression": _errors,
    "multilabel": _sets,
    "ranking": ranking_numbers,
}


# --- features --------------------------------------------------------------------------------------------------------


def _number(value: Json) -> float | None:
    """A feature's value as a number; booleans count as numbers, texts and nothing do not."""
    return None if value is None or isinstance(value, str) else float(value)


def _features(rows: Sequence[Prediction]) -> list[dict[str, Json]]:
    return [row.event["features"] for row in rows if row.event.get("features")]


def _data_quality(rows: Sequence[Prediction]) -> dict[str, Json]:
    given = _features(rows)
    names = {name for one in given for name, value in one.items() if value is not None}
    section = {}
    for name in names:
        values = [one.get(name) for one in given]
        numbers = [number for number in map(_number, values) if number is not None]
        present = sum(value is not None for value in values)
        section[name] = {
            "count": present,
            "missing": len(values) - present,
            "mean": mean(numbers) if numbers else None,
            "std": _spread(numbers) if numbers else None,
            "min": min(numbers, default=None),
            "max": max(numbers, default=None),
        }
    return section


def _spread(numbers: Sequence[float]) -> float:
    middle = sum(map(Fraction, numbers)) / len(numbers)
    return math.sqrt(sum((Fraction(number) - middle) ** 2 for number in numbers) / len(numbers))


class Reference:
    """How the features of a version's first rows fall into slots.

    Args:
        rows: their features.
        bins: the most bins for numbers.
        max_categories: the most texts with a slot of their own.
    """

    def __init__(self, rows: Sequence[dict[str, Json]], bins: int, max_categories: int) -> None:
        self.features: dict[str, tuple[Callable[[Json], Json], Counter[Json]]] = {}
        for name in {name for row in rows for name, value in row.items() if value is not None}:
            values = [row.get(name) for row in rows]
            slot = _slots(values, bins, max_categories)
            self.features[name] = slot, Counter(map(slot, values))


def _slots(values: Sequence[Json], bins: int, max_categories: int) -> Callable[[Json], Json]:
    numbers = sorted(number for number in map(_number, values) if number is not None)
    texts = Counter(value for value in values if isinstance(value, str))
    kept = set(sorted(texts, key=lambda text: (-texts[text], text))[:max_categories])
    single = set(numbers) if len(set(numbers)) <= bins else None
    edges = sorted({numbers[-(-i * len(numbers) // bins) - 1] for i in range(1, bins)}) if single is None else []

    def slot(value: Json) -> Json:
        if value is None:
            return "missing"
        if isinstance(value, str):
            return ("text", value) if value in kept else "other"
        number = float(value)
        if single is not None:
            return ("number", number) if number in single else "other"
        return "bin", sum(edge < number for edge in edges)

    return slot


def _drift(rows: Sequence[Prediction], reference: Reference | None, drift_rows: int) -> dict[str, Json]:
    given = _features(rows)
    if reference is None:
        return {}
    if len(given) < drift_rows:
        return {name: {"psi": None, "js": None} for name in reference.features}
    section = {}
    for name, (slot, expected) in reference.features.items():
        found = Counter(slot(one.get(name)) for one in given)
        used = sorted({*expected, *found}, key=str)
        section[name] = {
            "psi": _psi([found[one] for one in used], [expected[one] for one in used]),
            "js": _js([found[one] for one in used], [expected[one] for one in used]),
        }
    return section


def _psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    p = [(count + 0.5) / (sum(counts) + 0.5 * len(counts)) for count in counts]
    q = [(count + 0.5) / (sum(reference) + 0.5 * len(reference)) for count in reference]
    return math.fsum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def _js(counts: Sequence[int], reference: Sequence[int]) -> float:
    p = [count / sum(counts) for count in counts]
    q = [count / sum(reference) for count in reference]
    parts = []
    for a, b in zip(p, q, strict=True):
        parts += [one * math.log2(2 * one / (a + b)) for one in (a, b) if one]
    return math.sqrt(min(max(math.fsum(parts), 0.0) / 2, 1.0))
