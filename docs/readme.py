"""Writes README.md's table of the models that come with the kit, from their cards.

Usage: make docs
"""

from pathlib import Path
from typing import Any

from asmnet_kit.shipping.shipped import ShippedModel, shipped_models

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- models: written by make docs -->", "<!-- end of models -->"
ON = "faces68"  # the photographs
SUBSETS = {"aflw": "AFLW", "ytf": "YouTube Faces"}
RESEARCH = "LICENSE-WEIGHTS"
COMPLETE = {"boxes": "landmarks", "complete_only": True}
DETECTED = {"boxes": "detector", "complete_only": False}


def table() -> str:
    """Models of 68 points, those that products may use first, the most accurate first."""
    models = [model for model in shipped_models() if model.summary()["landmarks"] == 68]
    models.sort(key=lambda model: (model.card["licence"] == RESEARCH, _errors(model)))
    complete, detected = (_measured(models[0], **how) for how in (COMPLETE, DETECTED))
    faces = [f"{title} ({complete['per_subset'][key]['faces']})" for key, title in SUBSETS.items()]
    head = ["model", "for", *faces, "fails", "ms", "KB", "licence"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(_row, models)]
    return "\n".join(
        [
            *lines,
            "",
            f"AFLW, YouTube Faces: NME in percent of the distance between the outer eye corners, "
            f"of the {complete['faces']} test photographs on which every point is labelled, "
            "cropped around their labels. Fails: of the "
            f"{detected['failure_rate_faces']} test photographs with both outer eye corners "
            "labelled, the share with an NME above 8 % "
            f"or missed by the kit's face detector, which misses {detected['faces_missed']} of "
            "them; there, as in `predict`, the model looks three times at a face. ms: one look, "
            "one thread, median.",
        ]
    )


def _measured(model: ShippedModel, **how: Any) -> dict[str, Any]:
    """The measurement of its card on photographs in the way that is asked for."""
    (found,) = [
        measured
        for measured in model.card["accuracy"]
        if measured["dataset"] == ON and all(measured[key] == value for key, value in how.items())
    ]
    return dict(found)


def _errors(model: ShippedModel) -> float:
    return float(_measured(model, **COMPLETE)["per_subset"]["aflw"]["nme_percent"])


def _row(model: ShippedModel) -> str:
    complete, detected = (_measured(model, **how) for how in (COMPLETE, DETECTED))
    errors = [f"{complete['per_subset'][name]['nme_percent']:.2f} %" for name in SUBSETS]
    speed = next(speed for speed in model.card["speed"] if speed["threads"] == 1)
    research = model.card["licence"] == RESEARCH
    cells = [
        f"`{model.name}`",
        "research" if research else "products, the default" if model.is_default else "products",
        *errors,
        f"{detected['failure_rate_percent']['8']:.1f} %",
        f"{speed['p50_ms']:.2f}",
        f"{model.card['model']['size_bytes'] / 1000:.0f}",
        "research only" if research else str(model.card["licence"]),
    ]
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """README.md with today's table."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
    print(f"wrote {README.name}")
