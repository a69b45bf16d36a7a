"""Options that give subsets of the data a value: ``ytf=0.5,aflw=1.5``."""

import math

from asmnet_kit.base.errors import UsageError

# In the place of a subset's name: the faces that are in no subset that is named.
OTHERS = ""


def subset_names(text: str) -> list[str]:
    """``"ytf,aflw"`` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def subset_conventions(text: str) -> dict[str, str]:
    """``"aflw,mtfl=aflw"`` as a dictionary; a name alone stands for itself.

    Raises:
        UsageError: a name is missing, or a subset stands twice.
    """
    conventions: dict[str, str] = {}
    for part in subset_names(text):
        subset, equals, labelled = (piece.strip() for piece in part.partition("="))
        labelled = labelled if equals else subset
        if not subset or not labelled or subset in conventions:
            raise UsageError(
                "expected --teacher-calibrate SUBSET,... or SUBSET=LABELLED,..., each subset once; "
                f"got {text!r}"
            )
        conventions[subset] = labelled
    return conventions


def subset_values(text: str, *, option: str, at_most: float = math.inf) -> dict[str, float]:
    """``"ytf=0.5,aflw=1.5"`` as a dictionary; a number without a subset is ``OTHERS``'.

    Raises:
        UsageError: another form, a subset twice, or a number below 0 or above ``at_most``.
    """
    values: dict[str, float] = {}
    for part in subset_names(text):
        subset, equals, number = (piece.strip() for piece in part.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        in_range = 0 <= value <= at_most and math.isfinite(value)
        if bool(subset) != bool(equals) or subset in values or not in_range:
            upwards = "from 0" + (f" to {at_most:g}" if at_most < math.inf else "")
            raise UsageError(
                f"expected {option} as SUBSET=NUMBER,... or a NUMBER for all others, numbers "
                f"{upwards}, each subset once; got {text!r}"
            )
        values[subset] = value
    return values
