"""The short form of the fault suite: a bit of everything in one round. ``make faults`` is the long one."""

from pathlib import Path

from pipeline.local_broker import LocalBroker
from tests.faults.broken_rows import broken_records
from tests.faults.rounds import Round, run_round

REACHED_S = 40.0
BROKEN = 20_000


def a_bit_of_everything(here: Round) -> None:
    """One worker dies in mid-transaction, then stands still in mid-transaction until the other has taken over."""
    here.begin("a", "b")
    here.sender.send(broken_records(here.rng, BROKEN))
    here.fleet.kill("a")
    here.fleet.start("a", "before_commit=kill@7")
    here.wait_for(lambda: here.fleet.has_died("a"), REACHED_S, "a's death in mid-transaction")
    here.fleet.start("a", "before_send_offsets=stop@9")
    here.wait_for(lambda: here.fleet.has_stopped("a"), REACHED_S, "a to stand still in mid-transaction")
    here.wait_for(lambda: here.progress.members == {"b-joiner"}, REACHED_S, "b to take over")
    here.fleet.thaw("a")
    here.wait_for(lambda: len(here.progress.members) == 2, REACHED_S, "a to come back")
    here.tries = 3


def test_windows_are_exact_through_a_bit_of_everything(broker: LocalBroker, tmp_path: Path) -> None:
    result = run_round("short", a_bit_of_everything, broker, tmp_path / "round", seed=11, span_s=5)
    assert result.differences == []
    assert result.windows > 200
    assert result.tries == 3
