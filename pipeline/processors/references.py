"""Which reference a model version is compared with: the profile given for it, else the one learned at its start."""

from collections.abc import Iterator, Mapping

import orjson

from pipeline.core.events import Group, OutputRecord
from pipeline.core.profile_parts import ProfileParts, split_profile
from pipeline.core.reference import ReferenceProfile

TOPIC = "references"
ANY_VERSION = "*"


class ReferenceBook:
    """The profiles known to a worker, shared by its partitions.

    Args:
        given: the profiles of the configuration, by model and version; the version may be ``*``.
    """

    def __init__(self, given: Mapping[tuple[str, str], ReferenceProfile] | None = None) -> None:
        self._given = dict(given or {})
        self._learned: dict[tuple[str, str], ReferenceProfile] = {}
        self._parts = ProfileParts()
        self.version = 0
        """Rises with every profile learned, so that a partition can see that something is new."""
        self.unreadable = 0
        """Records of the topic that hold no profile: somebody else writes there."""

    def get(self, group: Group, /) -> ReferenceProfile | None:
        """The profile of a model version; a given one wins over a learned one.

        Args:
            group: the model version.

        Returns:
            The profile, or None where there is none yet.
        """
        model, version = group.model, group.model_version
        return (
            self._given.get((model, version))
            or self._given.get((model, ANY_VERSION))
            or self._learned.get((model, version))
        )

    def learn(self, value: bytes) -> None:
        """Take in a record of the references topic; the first profile of a version stays.

        Args:
            value: the record's value.
        """
        try:
            piece = orjson.loads(value)
            profile = self._parts.add(piece["model"], piece["model_version"], piece)
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1
            return
        if profile is not None:
            name = (profile.model, profile.model_version)
            if self._learned.setdefault(name, profile) is profile:
                self.version += 1


def reference_records(profile: ReferenceProfile) -> Iterator[OutputRecord]:
    """The records of a learned profile on the references topic.

    Args:
        profile: the profile.

    Yields:
        One a piece. The key is JSON: names may hold any character, and compaction keeps one record a key.
    """
    for piece in split_profile(profile):
        key = orjson.dumps([profile.model, profile.model_version, piece["part"]])
        yield OutputRecord(TOPIC, key, orjson.dumps(piece))
