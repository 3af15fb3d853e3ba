import itertools
from typing import Any

import numpy as np
import orjson
import pytest

from pipeline.core.events import FeatureColumn
from pipeline.core.profile_parts import PART_BYTES, ProfileParts, split_profile
from pipeline.core.reference import ReferenceProfile, build_profile


def wide_profile(features: int, bins: int = 64) -> ReferenceProfile:
    values = np.random.default_rng(1).normal(size=2_000)
    columns = {
        f"a-feature-with-quite-a-long-name-{number:04}": FeatureColumn(values * (number + 1))
        for number in range(features)
    }
    return build_profile(columns, model="m", model_version="1", rows=2_000, bins=bins, max_categories=8)


def test_a_small_profile_is_one_piece() -> None:
    profile = wide_profile(3)
    (piece,) = split_profile(profile)
    assert ReferenceProfile.from_json(piece) == profile
    assert ProfileParts().add("m", "1", orjson.loads(orjson.dumps(piece))) == profile


def test_the_widest_profile_comes_in_pieces_that_fit_and_back_in_any_order() -> None:
    profile = wide_profile(512)
    pieces = list(split_profile(profile))
    assert len(pieces) > 1
    assert max(len(orjson.dumps(piece)) for piece in pieces) < 1.1 * PART_BYTES
    for order in itertools.islice(itertools.permutations(pieces), 3):
        parts = ProfileParts()
        assert [parts.add("m", "1", piece) for piece in order[:-1]] == [None] * (len(pieces) - 1)
        assert parts.add("m", "1", order[0]) is None  # twice is once
        whole = parts.add("m", "1", order[-1])
        assert whole == profile
        assert whole.id == profile.id


def test_a_new_profile_replaces_what_had_not_come_whole() -> None:
    old, new = list(split_profile(wide_profile(512))), list(split_profile(wide_profile(400)))
    parts = ProfileParts()
    for piece in (*old[:-1], *new[:-1]):
        assert parts.add("m", "1", piece) is None
    whole = parts.add("m", "1", new[-1])
    assert whole is not None
    assert len(whole.features) == 400


@pytest.mark.parametrize("piece", [{}, {"part": 0, "parts": 1, "id": "x"}, [], {"id": 1, "part": "a", "parts": 1}])
def test_what_is_no_piece_is_refused_and_leaves_nothing(piece: Any) -> None:
    parts = ProfileParts()
    with pytest.raises((ValueError, KeyError, TypeError)):
        parts.add("m", "1", piece)
    profile = wide_profile(2)
    assert parts.add("m", "1", next(split_profile(profile))) == profile
