"""What the tables of the configuration are made of: values as people write them, and every fault told at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import EnvSettingsSource

from pipeline.core.durations import MAX_DURATION_MS, parse_duration_ms
from pipeline.core.window import WindowSize, parse_window


def _duration(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a duration, such as 500ms, 10s, 5m, 1h or 3d")  # noqa: TRY004 - pydantic reports it
    return parse_duration_ms(value) if isinstance(value, str) else value


def _window(value: object) -> object:
    if isinstance(value, WindowSize):
        return value
    if not isinstance(value, str):
        raise ValueError("write a window as text: size, or size/slide, such as 1m or 1h/5m")  # noqa: TRY004 - as above
    return parse_window(value)


DurationMs = Annotated[int, BeforeValidator(_duration), Field(gt=0, le=MAX_DURATION_MS)]
Window = Annotated[WindowSize, BeforeValidator(_window)]
Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A fault between values that may each be right.

    Attributes:
        place: the keys that lead to it from its table.
        problem: what is wrong.
        mend: what to write instead.
    """

    place: tuple[str | int, ...]
    problem: str
    mend: str


class Section(BaseModel):
    """A table of the file: unknown keys are faults, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Conflict]:  # noqa: ARG003 - tables with conflicts use it
        """Faults between the values of the table; they are told beside those of single values.

        Args:
            raw: the table as it came: any value may be missing or wrong.
        """
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _with_conflicts(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        table: Self = tell_all(cls.__name__, raw, handler, cls.conflicts)
        return table


def tell_all(name: str, raw: Any, handler: Any, conflicts: Any) -> Any:
    """Validate a table and look for conflicts in it, whether or not its single values are right.

    Args:
        name: the table's class.
        raw: the table as it came.
        handler: validates the single values.
        conflicts: gives the conflicts of a raw table.

    Returns:
        The validated table.

    Raises:
        ValidationError: all the faults there are.
    """
    found = [] if not isinstance(raw, Mapping) else list(conflicts(raw))
    faults = [_details("conflict", one.place, one.problem, {"mend": one.mend}) for one in found]
    try:
        table = handler(raw)
    except ValidationError as error:
        items = error.errors()
        # A list whose items are all wrong is also called too short.
        deeper = {item["loc"][:-1] for item in items}
        of_values = [
            _details(item["type"], item["loc"], item["msg"], item.get("ctx", {}))
            for item in items
            if item["type"] != "too_short" or item["loc"] not in deeper
        ]
        faults = [*of_values, *faults]
    if faults:
        raise ValidationError.from_exception_data(name, faults)
    return table


def _details(kind: str, place: tuple[str | int, ...], problem: str, context: Mapping[str, Any]) -> InitErrorDetails:
    # The value stays out: it may be a secret.
    told = {"problem": problem.removeprefix("Value error, "), "mend": context.get("mend")}
    return InitErrorDetails(type=PydanticCustomError(cast("Any", kind), "{problem}", told), loc=place, input=None)


def duration_of(raw: Mapping[str, Any], key: str, default: int) -> int | None:
    """A duration of a raw table, in milliseconds.

    Args:
        raw: the table.
        key: its key.
        default: what holds where there is none.

    Returns:
        The duration; None where it is wrong by itself.
    """
    value = raw.get(key, default)
    if isinstance(value, bool):
        return None
    try:
        return parse_duration_ms(value) if isinstance(value, str) else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def windows_of(raw: Mapping[str, Any], key: str, default: tuple[WindowSize, ...]) -> list[WindowSize] | None:
    """The windows of a raw table.

    Args:
        raw: the table.
        key: its key.
        default: what holds where there is none.

    Returns:
        The windows; None where one is wrong by itself.
    """
    try:
        sizes = [cast("WindowSize", _window(size)) for size in raw.get(key, default)]
    except (ValueError, TypeError):
        return None
    return sizes or None


class Environment(EnvSettingsSource):
    """Variables; one that is no JSON where JSON belongs is a fault like others, told where its value is checked."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """Read the JSON of a variable that holds a table or a list; what is none stays the text it is."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
