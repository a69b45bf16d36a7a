"""How the report writes numbers and what the templates do with foreign text."""

import math
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from asmnet_kit.results.noise import CONFIDENCE_Z

NOT_MEASURED = "not measured"

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
# None inside a name (int8), but a factor's (x1.3).
_NUMBER = re.compile(r"(?:(?<=\bx)|(?<![\w.]))[-+]?\d+(?:\.\d+)?(?![\w.]*[A-Za-z_])")


def milliseconds(value: float) -> str:
    """Three significant digits down to a tenth of a microsecond: 0.0521, 2.30, 45.6, 1230."""
    if value >= 100:
        return f"{value:.0f}"
    digits = 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:.{digits}f}"


def tick(value: float) -> str:
    """A round number on an axis, without trailing zeros."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def breakable(value: str) -> Markup:
    """A name that may go on in the next line after each underscore."""
    return Markup(str(escape(value)).replace("_", "_<wbr>"))


def size(value: float) -> str:
    """Bytes as KB or MB of 1000."""
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.0f} KB"


def percent(value: float) -> str:
    """Two decimals, as NME is customarily printed."""
    return f"{value:.2f}"


def known(value: float | None, digits: int = 2) -> str:
    """A number with that many decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def factor(value: float) -> str:
    """A ratio, for example 1.8."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def plural(count: int, noun: str) -> str:
    """``1 model``, ``2 models``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def grouped(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Alike sentences as one, each with whom it is about, the commonest first.

    Args:
        pairs: (sentence, whom it is about).
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for sentence, whom in pairs:
        found.setdefault(_NUMBER.sub("#", sentence), []).append((sentence, whom))
    groups = [
        (_merged([sentence for sentence, _ in items]), list(dict.fromkeys(w for _, w in items)))
        for items in found.values()
    ]
    return sorted(groups, key=lambda group: -len(group[1]))


def _merged(sentences: Sequence[str]) -> str:
    """Sentences that differ in their numbers alone as one, with each number's range."""
    columns = [
        list(dict.fromkeys(column))
        for column in zip(*(_NUMBER.findall(sentence) for sentence in sentences), strict=True)
    ]
    ranges = iter(
        column[0] if len(column) == 1 else f"{min(column, key=float)} to {max(column, key=float)}"
        for column in columns
    )
    return _NUMBER.sub(lambda _: next(ranges), sentences[0])


def wilson(percent_of: float | None, count: float | None) -> tuple[float, float] | None:
    """95 % interval of a share by Wilson's formula (1927), percent; None without a count."""
    if percent_of is None or not count:
        return None
    share, z = percent_of / 100, CONFIDENCE_Z
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def markdown(value: Any) -> Markup:
    """Text for a Markdown table's cell: on one line, without any meaning to Markdown or HTML."""
    text = " ".join(str(value).split())
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return Markup(_MARKDOWN_SPECIAL.sub(r"\\\1", escaped))
