"""``docs/metrics.md``, made from the registry."""

from collections.abc import Iterable

from pipeline.core.metrics.definition import Metric
from pipeline.core.metrics.registry import REASONS, SECTIONS

_HEAD = """# Every metric

Made from `pipeline/core/metrics/registry.py` by `make docs`; a test holds the two together and another holds the
registry against what reports really give.

Each path leads into a `window_metrics.v1` event, `host.` ones into the `metrics` of a `host_metrics.v1`; rules name
metrics by these paths. `<class>`, `<feature>` and `<metric>` stand for any key. Every number is the same for any
order, sharding and re-reading of the rows, and a corrected label takes its part back exactly.

- *exact* means: the integers and sums behind it never round, so the value is within 1e-12 of a batch computation of
  the same rows (most are rounded once, at the end). Otherwise the bound is given.
- *checked with* names what the tests compare the number with.
- *cost* is what has to be kept for it: `report`, nothing more than for other metrics, computed once a window; or
  for each row a `count`, an exact `sum`, a bucket of a `sketch`, a slot of `bins` for each feature.
- In formulas, n is the labelled rows, y a label, p a prediction, e = p - y; of a class, P rows were predicted as
  it, T are of it, TP are both, FP = P - TP, FN = T - TP, TN are neither.

## Confidence

`quality.intervals.<metric>` has the `low` and `high` of a metric's interval, two-sided at `quality.interval_level`
(0.95). A rule on a bound asks for confidence instead of a number of labels:

```toml
[[rules]]
name = "accuracy-surely-below"
metric = "quality.intervals.accuracy.high"   # the most that the accuracy may be
below = 0.85
```

It fires when even the upper bound is below 0.85: by chance once in forty windows at level 0.95, since only one side
counts; `interval_level = 0.9` makes it once in twenty. The intervals, with their sources, are in
`pipeline/core/metrics/intervals.py` and `class_table.py`. They take the labelled rows for a fair sample of the
window's: what the labels that are still to come do differently is in no interval.

## Objectives

An objective says which share of events should be good; the rest is its error budget. `burn_rate.1h/5m` is the lesser of
two burn rates, so one rule asks for both, as The Site Reliability Workbook advises: the hour shows that it matters, the
five minutes that it goes on.

```toml
[[objectives]]
name = "latency"
latency_ms = 250.0
target = 0.999                                  # of a period of 30 days

[[rules]]
name = "latency-burns-fast"
metric = "objectives.latency.burn_rate.1h/5m"
above = 14.4                                    # an hour of it takes 2 % of the budget
severity = "critical"
```
"""


def as_markdown() -> str:
    """The document.

    Returns:
        Markdown.
    """
    parts = [_HEAD]
    parts += [f"## {title}\n\n{_table(metrics)}" for title, metrics in SECTIONS.items()]
    rows = "\n".join(f"| `{code}` | {meaning} |" for code, meaning in REASONS.items())
    parts.append(
        "## Why a number is null\n\nA number that cannot be computed is null, never 0 or NaN; `reasons` has the code of"
        f" its path, or of the whole section where that is empty.\n\n| code | meaning |\n|---|---|\n{rows}\n"
    )
    return "\n".join(parts)


def _table(metrics: Iterable[Metric]) -> str:
    head = "| path | definition | unit | exact? | interval | source | checked with | null when | cost |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for one in metrics:
        nulls = ", ".join(f"`{code}`" for code in one.nulls) or "never"
        texts = (
            one.definition,
            one.unit,
            one.exactness,
            one.interval,
            one.source or "by definition",
            one.oracle,
            nulls,
        )
        cells = (f"`{one.path}`", *texts, one.cost)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
