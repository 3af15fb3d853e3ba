"""The limit of dead letters: what it stops for, held against a plain sum over the span."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.dead_letters import LEAST_ROWS, STEPS, DeadLetterGuard
from pipeline.core.errors import LimitError

SPAN_MS = 60_000


def stops_at(takes: Sequence[tuple[int, int, int]], limit: float = 0.5) -> int | None:
    guard = DeadLetterGuard(limit, SPAN_MS)
    for number, take in enumerate(takes):
        try:
            guard.take(*take)
        except LimitError:
            return number
    return None


def test_more_than_the_limit_stops_and_says_what_to_do() -> None:
    guard = DeadLetterGuard(0.5, SPAN_MS)
    guard.take(0, LEAST_ROWS, LEAST_ROWS // 2)
    with pytest.raises(LimitError, match=r"501 of 1,001 rows.*within 60 s.*dead_letter_limit = 0.5.*1\.0"):
        guard.take(1, 1, 1)


def test_few_rows_are_no_ground() -> None:
    assert stops_at([(0, LEAST_ROWS - 1, LEAST_ROWS - 1)]) is None
    assert stops_at([(0, LEAST_ROWS, LEAST_ROWS)]) == 0


def test_a_limit_of_one_never_stops() -> None:
    assert stops_at([(n, 10_000, 10_000) for n in range(10)], limit=1.0) is None


def test_what_is_older_than_the_span_is_forgotten() -> None:
    good, bad = (10_000, 0), (6_000, 6_000)
    assert stops_at([(0, *good), (SPAN_MS - 1, *bad)]) is None
    assert stops_at([(0, *good), (SPAN_MS, *bad)]) == 1


def test_a_clock_that_was_set_back_begins_anew() -> None:
    assert stops_at([(10 * SPAN_MS, 10_000, 0), (0, 2_000, 1_500)]) == 1


@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 900), st.floats(0, 1)), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_it_stops_where_a_plain_sum_over_the_span_says_so(steps: list[tuple[int, int, float]], limit: float) -> None:
    now_ms, takes = 0, []
    for pause_ms, rows, share in steps:
        now_ms += pause_ms
        takes.append((now_ms, rows, round(rows * share)))

    def too_many(number: int) -> bool:
        step_ms = SPAN_MS // STEPS
        seen = [take for take in takes[: number + 1] if take[0] // step_ms > takes[number][0] // step_ms - STEPS]
        rows, dead = sum(take[1] for take in seen), sum(take[2] for take in seen)
        return rows >= LEAST_ROWS and dead > limit * rows

    assert stops_at(takes, limit) == next(filter(too_many, range(len(takes))), None)
