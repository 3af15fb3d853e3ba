"""The events' schemas, each read and compiled once."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from pipeline.schemas import load_schema


@cache
def _validator(event: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(event))


def check(event: str, value: Any) -> None:
    """Fail where a value is not what the schema of an event says."""
    _validator(event).validate(value)
