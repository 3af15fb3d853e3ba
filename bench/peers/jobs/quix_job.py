"""The job in Quix Streams, run by Python in the peers' own environment, where ``quixstreams`` is.

python quix_job.py '{"bootstrap_servers": …, "predictions": …, "labels": …, "windows": …, "group": …, "horizon_ms": …,
"directory": …}'
"""

import json
import sys
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum

WINDOW_MS = 60_000
GRACE_MS = 5_000
# The partitions of a backlog are not read in step: windows with a shorter grace lose what the slower one brings.
WINDOW_GRACE_MS = 3_600_000


def event_time(value: dict[str, Any], _headers: Any, _timestamp_ms: float, _type: Any) -> int:
    return int(value["timestamp_ms"])


def judged(prediction: dict[str, Any], label: dict[str, Any]) -> dict[str, Any]:
    """A prediction with its label; small, because it goes through a topic of its own to the windows."""
    return {
        "version": f"{prediction['model']}|{prediction['model_version']}",
        "timestamp_ms": prediction["timestamp_ms"],
        "correct": int(prediction["prediction"] == label["label"]),
    }


def published(window: dict[str, Any]) -> dict[str, Any]:
    counts = {name: window[name] for name in ("predictions", "correct")}
    return {"window_start_ms": window["start"], "labelled": window["predictions"], **counts}


def main() -> None:
    given = json.loads(sys.argv[1])
    application = Application(
        given["bootstrap_servers"],
        consumer_group=given["group"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=given["directory"],
    )
    predictions, labels = (
        application.dataframe(application.topic(given[name], value_deserializer="json", timestamp_extractor=event_time))
        for name in ("predictions", "labels")
    )
    horizon_ms = given["horizon_ms"]
    joined = predictions.join_interval(
        labels, how="inner", on_merge=judged, grace_ms=horizon_ms + GRACE_MS, forward_ms=horizon_ms
    )
    joined = joined.set_timestamp(lambda value, _key, _timestamp, _headers: value["timestamp_ms"])
    windows = (
        joined.group_by("version")
        .tumbling_window(WINDOW_MS, grace_ms=WINDOW_GRACE_MS)
        .agg(predictions=Count(), correct=Sum("correct"))
        .current()
    )
    windows.apply(published).to_topic(application.topic(given["windows"], value_serializer="json"))
    application.run()


if __name__ == "__main__":
    main()
