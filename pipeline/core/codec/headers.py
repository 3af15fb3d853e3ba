"""What a record's headers say: which event it holds, in which layout, plainly or as a CloudEvent in binary mode."""

from collections.abc import Sequence

from pipeline.core.errors import BadEventError

Headers = Sequence[tuple[str, bytes | None]]


def is_columnar(headers: Headers | None, event: str) -> bool:
    """Whether a record is in the columnar batch layout; refuses records that say they hold something else.

    Without a ``schema`` header (and without CloudEvents' ``ce_type``) version 1 of the topic's event is assumed. When a
    header is repeated, the last one counts; ``schema`` wins over ``ce_type``.

    Args:
        headers: the record's headers.
        event: the event that this topic carries, e.g. ``prediction.v1``.

    Returns:
        True for the columnar batch layout, False for a single event.

    Raises:
        BadEventError: ``unknown_schema`` or ``unknown_layout``.
    """
    if not headers:
        return False
    given = {name: value or b"" for name, value in headers}
    schema, cloud_type = given.get("schema"), given.get("ce_type")
    if schema is not None:
        if schema != event.encode():
            raise BadEventError(
                "unknown_schema", f"the schema header says {_shown(schema)}, this topic carries {event}"
            )
    elif cloud_type is not None and cloud_type != event.encode() and not cloud_type.endswith(b"." + event.encode()):
        raise BadEventError("unknown_schema", f"ce_type says {_shown(cloud_type)}, this topic carries {event}")
    version = given.get("ce_specversion")
    if version is not None and not version.startswith(b"1."):
        raise BadEventError("unknown_schema", f"ce_specversion says {_shown(version)}, only 1.x is known")
    layout = given.get("layout")
    if layout is not None and layout != b"columns":
        raise BadEventError("unknown_layout", f"the layout header says {_shown(layout)}, only columns is known")
    return layout is not None


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("utf-8", "backslashreplace"))
