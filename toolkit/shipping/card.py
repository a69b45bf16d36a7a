"""A card for readers: Markdown made of the card's JSON and a template."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from asmnet_kit.results.report.text import known, wilson
from asmnet_kit.shipping.measurements import Card
from asmnet_kit.shipping.shipped import LICENCES

TEMPLATE = "card.md.j2"
BOXES = {"landmarks": "labels", "detector": "detector"}


def card_text(card: Card) -> str:
    """A card for readers, Markdown."""
    environment = Environment(
        loader=PackageLoader("asmnet_kit.shipping", package_path=""),
        autoescape=False,  # Markdown of the project's own words
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(known=known, wilson=wilson)
    return environment.get_template(TEMPLATE).render(
        card=card,
        worst=_worst(card["accuracy"]),
        judged=_judged(card["accuracy"]),
        sure=[scores for scores in card["accuracy"] if scores.get("uncertainty")],
        BOXES=BOXES,
        LICENCES=LICENCES,
    )


@dataclass(frozen=True)
class _Worst:
    """Where most faces fail, of everything measured."""

    percent: float
    where: str
    boxes: str
    faces: int


def _worst(accuracy: Sequence[Card]) -> _Worst:
    parts = [
        (part["failure_rate_percent"]["8"], f"{s['dataset']}/{name}", s["boxes"], part)
        for s in accuracy
        for name, part in {**s["per_subset"], "all": s}.items()
        if part["failure_rate_percent"]["8"] is not None
    ]
    percent, where, boxes, part = max(parts, key=lambda part: part[:3])
    return _Worst(percent, where, boxes, part["failure_rate_faces"])


def _judged(accuracy: Sequence[Card]) -> list[Card]:
    """The evaluations that measured how well the plausibility ranks."""
    return [
        scores
        for scores in accuracy
        if (ranking := scores.get("plausibility")) and ranking["auroc"]["residual"] is not None
    ]
