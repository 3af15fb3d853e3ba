"""What is too large for a record goes in pieces that merge to the same, on the wire and on a changelog."""

import random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.accumulate.bins import Bins
from pipeline.core.accumulate.confusion import Confusion
from pipeline.core.accumulate.counts import Counts
from pipeline.core.accumulate.moments import Moments
from pipeline.core.families import FAMILIES, State
from pipeline.processors.pieces import PIECE_BYTES, PieceLog, pack, pack_states
from pipeline.processors.tracks import Track, pane_from_json
from tests.moments import moments_of

LIMIT = 800_000


def confusion(classes: int, outcomes: int) -> Confusion:
    rng, state = random.Random(1), Confusion()
    for _ in range(outcomes):
        state.counts[f"class-{rng.randrange(classes)}", f"class-{rng.randrange(classes)}"] = rng.randrange(-5, 0) or 3
    return state


def moments(features: int) -> Moments:
    """Sums over the whole range of numbers that events may hold: the longest there are."""
    names = [f"a-feature-with-quite-a-long-name-{number:04}" for number in range(features)]
    return moments_of({name: [1e100, -5e-324, 1 / 3, "text"] for name in names}, 5)


def bins(slots: int) -> Bins:
    return Bins("profile", 1_000_000, np.arange(slots, dtype=np.int64) * 1_000_003_000_003)


def wide() -> dict[str, State]:
    return {
        "counts": Counts({"predictions": 7}),
        "confusion": confusion(1_000, 100_000),
        "moments": moments(1_024),
        "bins": bins(512 * 66),
    }


def merged(pieces: list[bytes]) -> dict[str, Any]:
    track = Track(None, "")  # type: ignore[arg-type]  # whose it is does not matter here
    for piece in pieces:
        track.merge_pane(0, pane_from_json(orjson.loads(piece)))
    return {name: state.to_wire() for name, state in track.panes[0].items()}


def test_the_widest_cell_goes_in_pieces_and_comes_back_in_any_order() -> None:
    states = wide()
    expected = {name: state.to_wire() for name, state in states.items()}
    pieces = pack_states(states)
    assert len(orjson.dumps(expected)) > 2 * LIMIT
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert merged(pieces) == expected
    assert merged(random.Random(1).sample(pieces, len(pieces))) == expected


def test_a_cell_that_fits_is_one_piece() -> None:
    states: dict[str, State] = {"counts": Counts({"predictions": 7}), "bins": bins(36)}
    (piece,) = pack_states(states)
    assert merged([piece]) == {name: state.to_wire() for name, state in states.items()}


@pytest.mark.parametrize(
    ("name", "state"), [("confusion", confusion(5, 60)), ("moments", moments(7)), ("bins", bins(35))]
)
def test_halves_of_halves_merge_to_the_whole(name: str, state: State) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    assert family.halve is not None
    whole, parts = state.to_wire(), [state.to_wire()]
    while True:
        halves = [family.halve(part) for part in parts]
        if not any(halves):
            break
        parts = [piece for part, half in zip(parts, halves, strict=True) for piece in (half or (part,))]
        again = family.zero()
        for part in reversed(parts):
            again.merge(family.from_wire(orjson.loads(orjson.dumps(part))))
        assert again.to_wire() == whole
    assert len(parts) > 4


def test_counts_against_another_reference_are_given_up_though_they_come_in_halves() -> None:
    family = next(family for family in FAMILIES if family.name == "bins")
    assert family.halve is not None
    halves = family.halve(bins(20).to_wire())
    assert halves is not None
    other = Bins("another", 10, np.ones(3, np.int64))
    said = []
    for order in ([*halves, other.to_wire()], [halves[1], other.to_wire(), halves[0]], [other.to_wire(), *halves]):
        state = family.zero()
        for wire in order:
            state.merge(family.from_wire(wire))
        said.append(state.to_wire())
    assert said == [["mixed", 1_000_010, 0, 0, [1, ""]]] * 3


def test_a_name_that_comes_again_begins_another_object() -> None:
    assert [orjson.loads(piece) for piece in pack([("a", 1), ("b", 2), ("a", 3)])] == [{"a": 1, "b": 2}, {"a": 3}]
    assert pack([]) == [b"{}"]


names = st.tuples(st.sampled_from(["pane", "host"]), st.sampled_from(["m", "a|b"]), st.integers(0, 2))
steps = st.lists(st.tuples(names, st.integers(0, 4), st.sampled_from(["write", "drop", "restart"])), max_size=40)


@given(steps)
def test_a_changelog_of_pieces_holds_the_last_value_of_each_name(steps: list[Any]) -> None:
    live: dict[Any, list[bytes]] = {}
    log = PieceLog()
    keys: dict[bytes, bytes | None] = {}
    for number, (name, count, action) in enumerate(steps):
        if action == "write" and count:
            live[name] = [b"%d" % (number * 10 + piece) for piece in range(count)]
            keys |= dict(log.write(name, live[name]))
        elif action == "drop":
            live.pop(name, None)
            keys |= dict(log.drop(name))
        elif action == "restart":
            log = PieceLog()
            for key, value in keys.items():
                *parts, piece = orjson.loads(key)
                log.restore(tuple(parts), piece, value)
            assert dict(log.take_restored()) == live
    assert {key for key, value in keys.items() if value is not None} == {
        orjson.dumps([*name, piece]) for name, pieces in live.items() for piece in range(len(pieces))
    }
