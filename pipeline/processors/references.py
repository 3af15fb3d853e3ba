"""Which reference a model version is compared with: the profile given for it, else the one learned at its start."""

from collections.abc import Mapping

import orjson

from pipeline.core.events import Group
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
        self.version = 0
        """Rises with every profile learned, so that a partition can see that something is new."""

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
        profile = ReferenceProfile.from_json(orjson.loads(value))
        if self._learned.setdefault((profile.model, profile.model_version), profile) is profile:
            self.version += 1


def reference_key(model: str, model_version: str) -> bytes:
    """The key of a version's record on the references topic."""
    return f"{model}|{model_version}".encode()
