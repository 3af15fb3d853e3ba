import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.durations import MAX_DURATION_MS, format_duration, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("3d", 259_200_000),
        (" 1m ", 60_000),
        ("0s", 0),
        ("90s", 90_000),
    ],
)
def test_a_duration_is_digits_and_a_unit(text: str, duration_ms: int) -> None:
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize("text", ["", "10", "s", "1.5s", "-1s", "1 s", "1w", "1H", "1m30s", "\uff11s", "٣d", "1s\n1s"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500ms, 10s, 5m, 1h or 3d"):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["36501d", "9" * 400 + "d", "3153600000001ms"])
def test_a_duration_that_times_cannot_be_added_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="36500d"):
        parse_duration_ms(text)


def test_the_longest_duration_is_a_century() -> None:
    assert parse_duration_ms("36500d") == MAX_DURATION_MS == 36_500 * 86_400_000


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(0, "0ms"), (60_000, "1m"), (90_000, "90s"), (86_400_000, "1d"), (1_001, "1001ms")]
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration_ms: int, text: str) -> None:
    assert format_duration(duration_ms) == text


@given(st.integers(0, MAX_DURATION_MS) | st.integers(0, 36_500).map(lambda days: days * 86_400_000))
def test_what_is_written_reads_back(duration_ms: int) -> None:
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms
