"""Driftline: streaming monitoring for deep-learning models in production."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.publisher import Publisher
    from pipeline.subscriber import subscribe_alerts

__all__ = ["Publisher", "subscribe_alerts"]


def __getattr__(name: str) -> Any:
    # Lazy, so that importing one name in a serving process does not load the other's dependencies.
    if name == "Publisher":
        from pipeline.publisher import Publisher  # noqa: PLC0415 - lazy on purpose

        return Publisher
    if name == "subscribe_alerts":
        from pipeline.subscriber import subscribe_alerts  # noqa: PLC0415 - lazy on purpose

        return subscribe_alerts
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
