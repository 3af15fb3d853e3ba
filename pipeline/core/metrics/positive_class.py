"""Which class of a binary model is the positive one."""

from collections.abc import Sequence

POSITIVE = "1"
"""The positive class of a binary model where it is among the classes; else the greater of the two names."""


def positive_class(names: Sequence[str]) -> str | None:
    """The positive class.

    Args:
        names: the classes that were predicted or are true, sorted.

    Returns:
        Its name; None while one name alone cannot tell, or when there are more than two.
    """
    if POSITIVE in names:
        return POSITIVE
    return names[1] if len(names) == 2 else None


def without_positive(names: Sequence[str]) -> str:
    """The reason code where there is no positive class.

    Args:
        names: as above.
    """
    return "unknown_positive_class" if len(names) < 2 else "too_many_classes"
