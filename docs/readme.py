"""Writes README.md's table of the models that come with the kit, from their cards.

Usage: make docs
"""

from pathlib import Path

from asmnet_kit.shipping.shipped import ShippedModel, shipped_models

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- models: written by make docs -->", "<!-- end of models -->"
HEAD = "| model | for | error: AFLW | YouTube Faces | fails | ms | KB | licence |"
RESEARCH = "LICENSE-WEIGHTS"


def table() -> str:
    """Models of 68 points, those that products may use first, the most accurate first."""
    models = [model for model in shipped_models() if model.summary()["landmarks"] == 68]
    models.sort(key=lambda model: (model.card["licence"] == RESEARCH, _errors(model)))
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", *map(_row, models)]
    detected = models[0].card["accuracy"][2]
    return "\n".join(
        [
            *lines,
            "",
            f"Error: NME in percent of the distance between the outer eye corners. Fails: of all "
            f"{detected['failure_rate_faces']} test photographs, the share with an NME above 8 % "
            f"or missed by the kit's face detector, which misses {detected['faces_missed']} of "
            "them. ms: one run of the model, one thread, median.",
        ]
    )


def _errors(model: ShippedModel) -> float:
    return float(model.card["accuracy"][0]["per_subset"]["aflw"]["nme_percent"])


def _row(model: ShippedModel) -> str:
    complete, _, detected = model.card["accuracy"][:3]
    errors = [f"{complete['per_subset'][name]['nme_percent']:.2f} %" for name in ("aflw", "ytf")]
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
