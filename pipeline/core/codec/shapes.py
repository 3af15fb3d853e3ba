"""Single events as typed structs: what msgspec reads on the fast path, and what the checks give on the slow one.

The types refuse everything the checks refuse, apart from what is noted beside each; they also refuse a few things that
the checks allow (1.0 where an integer belongs), which is why a refusal here is no verdict.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pipeline.core.codec import limits

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARS)]
Version: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.MAX_VERSION_CHARS)]
Timestamp: TypeAlias = Annotated[int, Meta(ge=0, le=limits.MAX_TIMESTAMP_MS)]
TaskName: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression", "ranking"]
ClassInteger: TypeAlias = Annotated[int, Meta(ge=-limits.MAX_CLASS_NUMBER, le=limits.MAX_CLASS_NUMBER)]
# Below 2^63: the next float64 after the limit is 2^63 itself, which lies beyond it.
ClassFloat: TypeAlias = Annotated[float, Meta(gt=-(2.0**63), lt=2.0**63)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Latency: TypeAlias = Annotated[float, Meta(ge=0, le=limits.MAX_LATENCY_MS)]
Number: TypeAlias = Annotated[float, Meta(ge=-limits.MAX_NUMBER, le=limits.MAX_NUMBER)]
FeatureText: TypeAlias = Annotated[str, Meta(max_length=limits.MAX_FEATURE_CHARS)]
FeatureValue: TypeAlias = Number | FeatureText | bool | None
SegmentName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARS, pattern="^[^=]*$")]
SegmentText: TypeAlias = Annotated[str, Meta(max_length=limits.MAX_SEGMENT_CHARS)]
SegmentValue: TypeAlias = ClassInteger | SegmentText | bool | None
Principal: TypeAlias = Annotated[str, Meta(max_length=limits.MAX_PRINCIPAL_CHARS)]
Digest: TypeAlias = Annotated[str, Meta(max_length=limits.MAX_DIGEST_CHARS)]
Embedding: TypeAlias = Annotated[list[Number], Meta(max_length=limits.MAX_EMBEDDING)]
# Booleans are labels but no items, so an array with one is left to the checks.
Members: TypeAlias = Annotated[list[ClassInteger | Name], Meta(max_length=limits.MAX_MEMBERS)]
Gains: TypeAlias = Annotated[dict[Name, ClassFloat], Meta(max_length=limits.MAX_MEMBERS)]


class PredictionEvent(msgspec.Struct, gc=False):
    """A ``prediction.v1`` event, field by field; the fields after ``segments`` are checked and then left.

    The types do not see that ``prediction`` must suit ``task``: the columns are built with that in view.
    """

    prediction_id: Name
    model: Name
    model_version: Version
    timestamp_ms: Timestamp
    task: TaskName
    prediction: ClassInteger | ClassFloat | Name | bool | Members
    score: Probability | None = None
    latency_ms: Latency | None = None
    features: Annotated[dict[Name, FeatureValue], Meta(max_length=limits.MAX_FEATURES)] | None = None
    segments: Annotated[dict[SegmentName, SegmentValue], Meta(max_length=limits.MAX_SEGMENTS)] | None = None
    scores: Annotated[dict[Name, Probability | None], Meta(max_length=limits.MAX_SCORES)] | None = None
    embedding: Embedding | None = None
    principal: Principal | None = None
    input_digest: Digest | None = None


class LabelEvent(msgspec.Struct, gc=False):
    """A ``label.v1`` event, field by field."""

    prediction_id: Name
    model: Name
    timestamp_ms: Timestamp
    label: ClassInteger | ClassFloat | Name | bool | Members | Gains
