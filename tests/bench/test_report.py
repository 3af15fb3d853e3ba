"""A saved run comes back as it was, and into the page between its marks."""

import json
from pathlib import Path

import pytest

from bench.report import as_markdown, machine, rows_of, runs_of, save, write_page
from bench.run import FLOOR, JOB, KAFKA_STREAMS, Run

RUNS = [
    Run(KAFKA_STREAMS, "single", 2_000_000, 25.0, 30.0, 900.0, 7, 1),
    Run(FLOOR, "single", 2_000_000, 2.5, 3.0),
    Run(JOB, "single", 1_900_000, 4.75, 3.8, 500.0, 7),
    Run(FLOOR, "single", 2_000_000, 2.0, 3.0),
    Run(JOB, "single", 1_900_000, 4.75, 3.8, 600.0, 7),
    Run(FLOOR, "columns", 8_000_000, 1.6, 1.6),
    Run(JOB, "columns", 8_000_000, 8.0, 8.0, 450.0, 7),
]
SETTINGS = {"events": 1_000_000, "batch_events": 4_000_000, "partitions": 2, "rounds": 2}


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr("bench.report.RESULTS", tmp_path / "results")
    return dict(json.loads(save(RUNS, SETTINGS, machine()).read_text()))


def test_a_saved_run_comes_back(saved: dict[str, object]) -> None:
    assert runs_of(saved) == RUNS


def test_ratios_are_to_the_floor_of_the_layout_and_to_single_events_of_kafka_streams() -> None:
    rows = {(row.what, row.layout): row for row in rows_of(RUNS)}
    assert list(rows)[:2] == [(FLOOR, "single"), (JOB, "single")]
    assert rows[FLOOR, "single"].rate == (900_000, 800_000, 1_000_000)
    job, columns = rows[JOB, "single"], rows[JOB, "columns"]
    assert (job.of_floor, job.of_streams) == pytest.approx((400_000 / 900_000, 5.0))
    assert (columns.of_floor, columns.of_streams) == pytest.approx((0.2, 12.5))
    assert (job.peak_rss_mb, job.windows, job.rounds) == (600.0, 14, 2)
    assert rows[KAFKA_STREAMS, "single"].wrong_windows == 1


def test_without_kafka_streams_there_is_no_ratio_to_it() -> None:
    assert [row.of_streams for row in rows_of(RUNS[1:])] == [None] * 4


def test_the_page_gets_the_table_between_its_marks_each_time_anew(saved: dict[str, object], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- make bench begins -->\nold\n<!-- make bench ends -->\nbelow\n")
    write_page(page, saved)
    write_page(page, saved)
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("<!-- make bench ends -->\nbelow\n")
    assert "old" not in text
    assert text.count(as_markdown(saved)) == 1
    assert "| single events, times Kafka Streams | 5 | 5.00 |" in text
    assert f"| {KAFKA_STREAMS} | single | 80,000 (80,000 to 80,000) | 0.09 | 1.0 |" in text


def test_a_page_without_marks_is_left_alone(saved: dict[str, object], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="make bench begins"):
        write_page(page, saved)
    assert page.read_text() == "no marks\n"
