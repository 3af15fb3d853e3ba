"""Reference profiles in pieces: one of many wide features is larger than a record may be."""

from collections.abc import Iterator

import orjson

from pipeline.core.events import Json
from pipeline.core.reference import ReferenceProfile

PART_BYTES = 400_000
"""Pieces are about this large at most, well under Kafka's usual limit of a megabyte."""


def split_profile(profile: ReferenceProfile) -> Iterator[Json]:
    """Cut a profile by its features.

    Args:
        profile: the profile.

    Yields:
        Its JSON objects, each with some of the features, ``part`` from 0 and how many ``parts`` there are.
    """
    whole = profile.to_json()
    pieces: list[dict[str, Json]] = [{}]
    size = 0
    for name, feature in whole["features"].items():
        width = len(orjson.dumps({name: feature}))
        if pieces[-1] and size + width > PART_BYTES:
            pieces.append({})
            size = 0
        pieces[-1][name] = feature
        size += width
    for part, features in enumerate(pieces):
        yield {**whole, "features": features, "part": part, "parts": len(pieces)}


class ProfileParts:
    """Collects the pieces of profiles, one profile a model version at a time."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, str], dict[int, Json]] = {}

    def add(self, model: str, model_version: str, piece: Json) -> ReferenceProfile | None:
        """Take in a piece.

        Args:
            model: the model it is for.
            model_version: its version; the profile may have been made for all of them.
            piece: what ``split_profile`` gave.

        Returns:
            The profile with its last missing piece, else None.

        Raises:
            ValueError: not a piece, or the pieces do not make the profile.
            KeyError: as above.
            TypeError: as above.
        """
        name = (model, model_version)
        known = self._pieces.get(name, {})
        if any(other["id"] != piece["id"] for other in known.values()):
            known = {}  # another profile has come
        known = {**known, int(piece["part"]): piece}
        if len(known) < piece["parts"]:
            self._pieces[name] = known
            return None
        features = {feature: one for _, part in sorted(known.items()) for feature, one in part["features"].items()}
        profile = ReferenceProfile.from_json({**piece, "features": features})
        self._pieces.pop(name, None)
        return profile
