"""The JSON Schemas of the events, as data: from a checkout and from an installed wheel alike.

``schemas/`` at the top of the project is the one copy. ``pipeline/schema_files`` is a link to it, which a wheel holds
as a folder of files.
"""

import json
from importlib.resources import files
from typing import Any

SCHEMA_NAMES = (
    "prediction.v1",
    "label.v1",
    "resource.v1",
    "model.v1",
    "window_metrics.v1",
    "host_metrics.v1",
    "alert.v1",
    "retrain_trigger.v1",
    "dead_letter.v1",
)


def load_schema(name: str) -> dict[str, Any]:
    """Read the schema of an event.

    Args:
        name: the event's name with its version, as in the ``schema`` header: one of ``SCHEMA_NAMES``.

    Returns:
        The JSON Schema, draft 2020-12.

    Raises:
        KeyError: there is no such event.
    """
    if name not in SCHEMA_NAMES:
        raise KeyError(f"no event is called {name!r}: the events are {', '.join(SCHEMA_NAMES)}")
    schema: dict[str, Any] = json.loads((files("pipeline") / "schema_files" / f"{name}.json").read_text("utf-8"))
    return schema
