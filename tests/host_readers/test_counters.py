from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.host_readers.counters import Counters


def test_the_first_reading_has_no_rate() -> None:
    assert Counters().rates(0, {"a": 5}) == {}


def test_growth_is_given_a_second() -> None:
    counters = Counters()
    counters.rates(1_000, {"a": 5, "b": 0})
    assert counters.rates(3_500, {"a": 10, "b": 0}) == {"a": 2.0, "b": 0.0}


def test_a_reset_has_no_rate_and_is_the_new_base() -> None:
    counters = Counters()
    counters.rates(0, {"a": 1_000})
    assert counters.rates(1_000, {"a": 10}) == {}
    assert counters.rates(2_000, {"a": 30}) == {"a": 20.0}


def test_no_time_no_rate() -> None:
    counters = Counters()
    counters.rates(1_000, {"a": 1})
    assert counters.rates(1_000, {"a": 2}) == {}


def test_a_counter_that_comes_or_was_away_has_no_rate() -> None:
    counters = Counters()
    counters.rates(0, {"a": 1})
    assert counters.rates(1_000, {"b": 9}) == {}
    assert counters.rates(2_000, {"a": 500, "b": 10}) == {"b": 1.0}


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=30))
def test_rates_are_never_negative_and_add_up_between_resets(counts: list[int]) -> None:
    counters = Counters()
    grown = 0.0
    for second, count in enumerate(counts):
        grown += counters.rates(second * 1_000, {"a": count}).get("a", 0.0)
    expected = sum(max(0, after - before) for before, after in pairwise(counts))
    assert grown == pytest.approx(expected)
