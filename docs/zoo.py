"""Writes docs/zoo.md, the models that come with the kit, from their cards; and draws its pictures.

Usage: make docs (the page); make docs-pictures (its pictures: python docs/zoo.py --pictures)

A picture shows the same rendered people for every model of the zoo. They do not exist, and no model
was trained on them.
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asmnet_kit.base.files import make_folder, write_bytes
from asmnet_kit.face.pictures import encode_jpeg
from asmnet_kit.people.render import people
from asmnet_kit.predict.draw import draw_faces
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.picture import predict_image
from asmnet_kit.shipping.shipped import LICENCES, ShippedModel, shipped_models

PAGE = Path(__file__).with_name("zoo.md")
PICTURES = Path(__file__).with_name("zoo")
SEED, COUNT, SIDE, JPEG_QUALITY = 61, 5, 192, 82  # of the pictures; pixels of each person
ENLARGED = 2  # for drawing: finer lines
RESEARCH = "LICENSE-WEIGHTS"
HEAD = """# Model zoo

Written by `make docs` from the models' cards; `asmnet-kit models` prints the same. Every command
that takes a model takes these names. The pictures show what each model sees in the same five
rendered people, whom no model was trained on; rings are landmarks that a model is unsure of or says
are hidden. The [card](models.md) behind each name has every subset, pose errors, speed and known
failures.
"""


def order(model: ShippedModel) -> tuple[bool, bool, str]:
    """Models that products may use first, and of these the default."""
    return model.card["licence"] == RESEARCH, not model.is_default, model.name


def errors(model: ShippedModel) -> str:
    """The NMEs that stand for the model, as its card names them."""
    return ", ".join(f"{name}: {nme:.2f} %" for name, nme in model.card["nme_percent"].items())


def facts(model: ShippedModel) -> list[tuple[str, str]]:
    """(what, value) about a model, all of it from its card."""
    card: dict[str, Any] = model.card
    about = card["model"]
    speed = next((speed for speed in card["speed"] if speed["threads"] == 1), None)
    measured = {entry["dataset"] for entry in card["accuracy"]}
    return [
        ("licence of the weights", f"{card['licence']}: {LICENCES[card['licence']]}"),
        ("landmarks", f"{about['landmarks']}, and head pose"),
        ("file", f"`{card['file']}`, {about['size_bytes'] / 1000:.0f} KB, {about['recipe']}"),
        ("input", f"{about['input_size']} × {about['input_size']} pixels"),
        (
            "network",
            f"{about['architecture']}, {about['parameters'] / 1e6:.2f} M parameters, "
            f"{about['macs'] / 1e6:.0f} M multiplications",
        ),
        (f"NME on {', '.join(sorted(measured))}", errors(model)),
        (
            "one run, one thread",
            "not measured"
            if speed is None
            else f"{speed['p50_ms']:.2f} ms (median; the machine is in the card)",
        ),
    ]


def entry(model: ShippedModel) -> str:
    """The part of the page about one model."""
    rows = "\n".join(f"| {what} | {value} |" for what, value in facts(model))
    return (
        f"## {model.name}\n\n{model.card['summary']}.\n\n"
        f"![{model.name}: landmarks on five rendered people](zoo/{model.name}.jpg)\n\n"
        f"| | |\n|---|---|\n{rows}\n\n"
        f"{model.card['use']} [Card](../toolkit/models/{model.name}.md).\n\n"
        f"```console\n$ asmnet-kit predict photo.jpg --model {model.name} --out drawn.png\n```\n"
    )


def page() -> str:
    """The whole page, Markdown."""
    models = sorted(shipped_models(), key=order)
    links = ", ".join(f"[{model.name}](#{model.name})" for model in models)
    return "\n".join([HEAD, f"{links}\n", *map(entry, models)])


def draw() -> None:
    """A picture of every model: what it sees in the same people."""
    make_folder(PICTURES)
    drawn = list(people(COUNT, seed=SEED, size=SIDE))
    for model in shipped_models():
        predictor = open_predictor(model.path)
        tiles = []
        for person in drawn:
            box = np.concatenate([person.landmarks68.min(axis=0), person.landmarks68.max(axis=0)])
            faces = predict_image(person.image, predictor, boxes=[box])
            large = draw_faces(person.image, faces, predictor.scheme, factor=ENLARGED)
            tiles.append(cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        name = f"{model.name}.jpg"
        content = encode_jpeg(np.concatenate(tiles, axis=1), name=name, quality=JPEG_QUALITY)
        write_bytes(PICTURES / name, content)
        print(f"wrote docs/zoo/{name}, {len(content) // 1000} kB")


if __name__ == "__main__":
    if "--pictures" in sys.argv[1:]:
        draw()
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote docs/{PAGE.name}")
