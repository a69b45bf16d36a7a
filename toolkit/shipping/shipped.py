"""The models that come with the kit: their cards, and how a name becomes a file.

Each model of the folder ``models`` has ``NAME.json``, its card: everything measured and said about
it, written by :mod:`asmnet_kit.shipping.ship`. This module imports nothing but the standard
library, so that listing models and looking up a name cost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.reading import read_json

FOLDER = Path(__file__).parents[1] / "models"
SCHEMA_VERSION = 1

# What a model's weights may be used for: the licence's name, and what it comes to.
LICENCES = {
    "Apache-2.0": "free to use and ship",
    "LICENSE-WEIGHTS": "research only",
}


@dataclass(frozen=True)
class ShippedModel:
    """A model of the kit.

    Attributes:
        name: what ``--model`` takes.
        folder: where its files are.
        card: the JSON object of its card, as :func:`asmnet_kit.shipping.ship.ship` writes it.
    """

    name: str
    folder: Path
    card: dict[str, Any]

    @property
    def path(self) -> Path:
        """Its .tflite file."""
        return self.folder / str(self.card["file"])

    @property
    def licence(self) -> str:
        """For example ``Apache-2.0 (free to use and ship)``."""
        licence = str(self.card["licence"])
        return f"{licence} ({LICENCES[licence]})"

    @property
    def is_default(self) -> bool:
        """Whether ``predict`` uses it by default."""
        return bool(self.card["default"])

    def text(self) -> str:
        """Its card for readers, Markdown."""
        return (self.folder / f"{self.name}.md").read_text(encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """What ``asmnet-kit models --json`` says of it."""
        model = self.card["model"]
        return {
            "name": self.name,
            "summary": self.card["summary"],
            "default": self.is_default,
            "path": str(self.path),
            "size_bytes": model["size_bytes"],
            "sha256": model["sha256"],
            "architecture": model["architecture"],
            "recipe": model["recipe"],
            "landmarks": model["landmarks"],
            "input_size": model["input_size"],
            "licence": self.card["licence"],
            "licence_means": LICENCES[self.card["licence"]],
            "nme_percent": self.card["nme_percent"],
        }


def shipped_models(folder: Path = FOLDER) -> list[ShippedModel]:
    """The models in ``folder``, by name.

    Raises:
        ModelError: a card cannot be read: the installation is damaged.
    """
    # A name with a leading dot is a file that another process is writing, or died over.
    return [_read(path) for path in sorted(folder.glob("[!.]*.json"))]


def default_model(folder: Path = FOLDER) -> ShippedModel:
    """The model that is used by default.

    Raises:
        ModelError: none is marked as such: the installation is damaged.
    """
    for model in shipped_models(folder):
        if model.is_default:
            return model
    raise ModelError(
        f"{folder}: expected a default model among the kit's, found none: install the kit again, "
        "or name a model with --model"
    )


def model_named(name: str, folder: Path = FOLDER) -> ShippedModel:
    """The shipped model of a name; that of its file will do, with or without its ending.

    Raises:
        UsageError: no such model; the message lists those there are.
    """
    models = shipped_models(folder)
    for model in models:
        if name in (model.name, model.path.name, model.path.stem):
            return model
    raise UsageError(f"expected a model of the kit ({_listed(models)}), got {name!r}")


def find_model(name: Path, folder: Path = FOLDER) -> Path:
    """The file or run folder that a user means by a model's name or path.

    What exists at the path wins over a shipped model of the same name. A path that does not exist
    comes back as it is: only who opens it knows what was expected there.

    Raises:
        UsageError: a plain word that is neither a path nor the name of a shipped model.
    """
    if name.exists() or len(name.parts) != 1:
        return name
    try:
        return model_named(str(name), folder).path
    except UsageError as error:
        if name.suffix:
            return name
        raise UsageError(
            f"{name}: no such file or run folder, and no model of the kit: "
            f"these are {_listed(shipped_models(folder))}"
        ) from error


def _read(path: Path) -> ShippedModel:
    try:
        card = read_json(path)
        model = ShippedModel(path.stem, path.parent, card)
        if card["schema_version"] != SCHEMA_VERSION or card["name"] != model.name:
            raise ValueError(f"expected version {SCHEMA_VERSION} of a card named {model.name}")
        model.summary()  # has every key that is needed
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: not a model card of this version ({error}): install the kit again"
        ) from error
    return model


def _listed(models: Sequence[ShippedModel]) -> str:
    return ", ".join(model.name for model in models) or "none"
