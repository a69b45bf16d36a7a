"""Puts a model into the kit: ``python -m asmnet_kit.shipping.ship WORDS.toml --model FILE ...``.

For maintainers (``make ship-model``). From words that a person wrote (``models/NAME.toml``) and
measurements it writes, beside the words,

    <architecture>_<points>_<size>_<recipe>.tflite   the model, its licence in its metadata
    the same .npz                                    its shape model, for the plausibility
    NAME.json                                        its card
    NAME.md                                          the same for readers

Every figure of the card is copied from the JSON of ``asmnet-kit evaluate --json``, from a benchmark
result or from a run's manifest. A measurement of another file is refused, and so are words with
figures in them. Only the metadata buffer of the file changes, which no runtime reads; that the
outputs stay the same to the bit is checked. Without ``--model`` only a part of a card changes: an
evaluation (``--evaluation``), its times (``--benchmark``, ``make time-models``: figures of one
table belong to one machine), or its words (``--words-only``, ``make card-words``).
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.files import replacing
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.shipping.card import card_text
from asmnet_kit.shipping.measurements import (
    Card,
    evaluation_of,
    facts_of_run,
    headline,
    kept_facts,
    read_object,
    same_outputs,
    speed_of,
)
from asmnet_kit.shipping.shipped import FOLDER, LICENCES, SCHEMA_VERSION, shipped_models
from asmnet_kit.shipping.words import Words
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata, with_metadata

# An evaluation takes the place of one that has these alike.
OF_FACES = ("dataset", "split", "subset", "boxes", "complete_only", "dataset_fingerprint")


def ship(
    words_file: Path,
    *,
    model: Path,
    evaluations: Sequence[Path],
    benchmarks: Sequence[Path],
    shape_model: Path | None = None,
    run: Path | None = None,
    folder: Path = FOLDER,
) -> Path:
    """Write a model and its card into ``folder``; returns the card's path.

    Nothing of what is there changes before all of it is on the disk under other names.

    Args:
        words_file: ``NAME.toml``.
        model: the .tflite as it was measured, or as it ships already.
        evaluations: JSON of ``asmnet-kit evaluate --json``; the first of a data set is the one that
            the list of models shows.
        benchmarks: result files of ``asmnet-kit benchmark``.
        shape_model: an .npz that judges the model's predictions.
        run: the training run's folder, for the number of parameters and multiplications and how
            long it was trained; where it is gone, the earlier card of the same network knows.

    Raises:
        UsageError: no evaluation or benchmark, a second default model, a data set without words.
        KitError: a file that cannot be read, or a measurement of another model.
        OSError: a file that cannot be written; model and card are those from before.
    """
    words = Words.read(words_file)
    name = words_file.stem
    content = model.read_bytes() if model.is_file() else b""
    metadata = read_metadata(model)
    measured_sha256 = hashlib.sha256(content).hexdigest()
    if not evaluations or not benchmarks:
        raise UsageError("expected at least one evaluation and one benchmark result of the model")
    accuracy = [evaluation_of(path, measured_sha256, words) for path in evaluations]
    speed = [speed_of(path, measured_sha256) for path in benchmarks]
    _expect_one_default(words, name, folder)
    stamped = with_metadata(content, replace(metadata, licence=licence_in_file(words.licence)))
    if not same_outputs(model, stamped, metadata):
        raise ModelError(f"{model}: its outputs changed with its metadata: convert it again")
    shapes = None if shape_model is None else _shape_model_bytes(shape_model, metadata)
    shipped = folder / metadata.named(words.variant)
    taken = [m.name for m in shipped_models(folder) if m.path == shipped and m.name != name]
    if taken:
        raise UsageError(f"{shipped.name} is the file of {taken[0]}: give this card its name")
    card: Card = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "file": shipped.name,
        "shape_model": None if shapes is None else shipped.with_suffix(".npz").name,
        **_said(words),
        "model": {
            "architecture": metadata.architecture,
            "recipe": metadata.recipe,
            "landmarks": metadata.landmarks,
            "input_size": metadata.input_size,
            "size_bytes": len(stamped),
            "sha256": hashlib.sha256(stamped).hexdigest(),
            "measured_sha256": measured_sha256,
            **(
                facts_of_run(run) if run else kept_facts(folder / f"{name}.json", content, metadata)
            ),
        },
        "nme_percent": headline(accuracy),
        "accuracy": accuracy,
        "speed": speed,
        "kit_version": __version__,
    }
    path = folder / f"{name}.json"
    old = _named_by(path)
    files = _card_files(path, card)
    if shapes is not None:
        files[shipped.with_suffix(".npz")] = shapes
    files[shipped] = stamped
    _replace_together(files)
    for leftover in old - files.keys():
        leftover.unlink(missing_ok=True)
    return path


def measure_again(
    words_file: Path,
    *,
    evaluations: Sequence[Path] = (),
    benchmarks: Sequence[Path] = (),
    folder: Path = FOLDER,
) -> Path:
    """Replace measurements in a model's card; returns the card's path.

    Args:
        words_file: ``NAME.toml``.
        evaluations: JSON of ``asmnet-kit evaluate --json`` of the file that ships, each in place of
            the card's of the same faces and boxes; the card keeps the others.
        benchmarks: result files of ``asmnet-kit benchmark`` of the file that ships, in place of all
            times in the card.

    Raises:
        UsageError: no measurement, or an evaluation of faces or boxes that the card has none of.
        KitError: a file that cannot be read, or a measurement of another model.
        OSError: a file that cannot be written; the card is that from before.
    """
    if not evaluations and not benchmarks:
        raise UsageError(
            "expected --evaluation or --benchmark of the model that ships; or --model, or "
            "--words-only"
        )
    words, path = Words.read(words_file), folder / f"{words_file.stem}.json"
    card = read_object(path)
    sha256 = card["model"]["sha256"]
    scheme = read_metadata(folder / card["file"]).scheme.name
    card = {**card, "accuracy": list(card["accuracy"])}
    measured = [_faces_of(scores) for scores in card["accuracy"]]
    given: list[Card] = []
    for file in evaluations:
        scores = evaluation_of(file, sha256, words)
        said, faces = read_object(file).get("scheme"), _faces_of(scores)
        if said != scheme:
            raise UsageError(f"{file}: expected landmarks {scheme}, the model's own, got {said}")
        if faces not in measured or faces in given:
            shown = ", ".join(f"{key} {str(value)[:16]}" for key, value in faces.items())
            raise UsageError(
                f"{file}: expected faces and boxes of which {path.name} has figures, each once, "
                f"got {shown}: evaluate the same data, or give all measurements with --model"
            )
        given.append(faces)
        place = measured.index(faces)
        judged = ("plausibility", "uncertainty", "visibility")
        lost = [key for key in judged if card["accuracy"][place].get(key) and not scores.get(key)]
        if lost:
            raise UsageError(
                f"{file}: expected {lost[0]}, of which the card has figures there, got none: "
                "evaluate the kit's model by its name"
            )
        card["accuracy"][place] = scores
    card["nme_percent"] = headline(card["accuracy"])
    if benchmarks:
        card["speed"] = [speed_of(result, sha256) for result in benchmarks]
    _replace_together(_card_files(path, card))
    return path


def _faces_of(scores: Card) -> Card:
    """What tells the evaluations in a card apart."""
    return {key: scores[key] for key in OF_FACES if scores.get(key) is not None}


def reword(words_file: Path, *, folder: Path = FOLDER) -> Path:
    """Replace the words of a model's card, and no figure; returns the card's path.

    Args:
        words_file: ``NAME.toml``.

    Raises:
        UsageError: a licence or variant other than that of the file that ships, a measured data set
            without words, a second default model, no card.
        OSError: a file that cannot be written; the card is that from before.
    """
    words, name = Words.read(words_file), words_file.stem
    path = folder / f"{name}.json"
    card = read_object(path)
    metadata = read_metadata(folder / card["file"])
    if (words.licence, metadata.named(words.variant)) != (card["licence"], card["file"]):
        raise UsageError(
            f"{words_file}: expected the licence {card['licence']} and the variant of "
            f"{card['file']}, got {words.licence} and {words.variant or 'no variant'!r}: "
            "they are part of the model file, so ship it again with --model"
        )
    unsaid = sorted({scores["dataset"] for scores in card["accuracy"]} - words.sets.keys())
    if unsaid:
        raise UsageError(
            f"{words_file}: expected {', '.join(unsaid)} in [sets], got {', '.join(words.sets)}: "
            "the card has measurements on it"
        )
    _expect_one_default(words, name, folder)
    _replace_together(_card_files(path, {**card, **_said(words)}))
    return path


def licence_in_file(licence: str) -> str:
    """The licence as the model file says it, which may be far from this folder."""
    if licence == "Apache-2.0":
        return licence
    return f"{licence} of asmnet-kit ({LICENCES[licence]})"


def _said(words: Words) -> Card:
    """What a card takes from the words as it is."""
    return {
        "summary": words.summary,
        "default": words.default,
        "licence": words.licence,
        "trained_on": words.trained_on,
        "terms": words.terms,
        "use": words.use,
        "failures": list(words.failures),
        "sets": words.sets,
    }


def _expect_one_default(words: Words, name: str, folder: Path) -> None:
    others = [m.name for m in shipped_models(folder) if m.is_default and m.name != name]
    if words.default and others:
        raise UsageError(f"{', '.join(others)} is the default model: there can be only one")


def _named_by(card: Path) -> set[Path]:
    """The files that an earlier card names: perhaps a model of another size, a shape model."""
    if not card.is_file():
        return set()
    old = read_object(card)
    return {card.parent / Path(old[key]).name for key in ("file", "shape_model") if old[key]}


def _replace_together(files: Mapping[Path, bytes]) -> None:
    """Write all files under temporary names, then swap them in: the last first, the first last."""
    with ExitStack() as swaps:
        for path, content in files.items():
            with swaps.enter_context(replacing(path)).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # a full disk may only tell now: before the first swap


def _card_files(path: Path, card: Card) -> dict[Path, bytes]:
    """A card for programs at ``path``, and for readers beside it."""
    text = json.dumps(card, indent=2, allow_nan=False) + "\n"
    return {path: text.encode(), path.with_suffix(".md"): card_text(card).encode()}


def _shape_model_bytes(source: Path, metadata: ModelMetadata) -> bytes:
    Plausibility.load(source).for_scheme(metadata.scheme)
    return source.read_bytes()


def main() -> int:
    """Parse, ship, say what was written."""
    parser = argparse.ArgumentParser(description="Put a model and its card into the kit.")
    parser.add_argument("words", type=Path, help="NAME.toml in toolkit/models")
    parser.add_argument(
        "--model",
        type=Path,
        help="the .tflite as measured; without it only figures or words change",
    )
    parser.add_argument(
        "--words-only", action="store_true", help="put the words into the card that ships"
    )
    parser.add_argument(
        "--evaluation", type=Path, action="append", default=[], help="evaluate --json, repeatable"
    )
    parser.add_argument(
        "--benchmark", type=Path, action="append", default=[], help="a result, repeatable"
    )
    parser.add_argument("--shape-model", type=Path, help="an .npz for the plausibility")
    parser.add_argument("--run", type=Path, help="the training run's folder")
    options = parser.parse_args()
    folder = options.words.parent
    try:
        if options.words_only:
            measured = (options.model, options.evaluation, options.benchmark)
            if any(measured) or options.shape_model or options.run:
                raise UsageError("expected --words-only and no model or measurement")
            path = reword(options.words, folder=folder)
        elif options.model is None:
            if options.shape_model or options.run:
                raise UsageError("--shape-model and --run go with --model")
            path = measure_again(
                options.words,
                evaluations=options.evaluation,
                benchmarks=options.benchmark,
                folder=folder,
            )
        else:
            path = ship(
                options.words,
                model=options.model,
                evaluations=options.evaluation,
                benchmarks=options.benchmark,
                shape_model=options.shape_model,
                run=options.run,
                folder=folder,
            )
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return KitError.exit_code
    print(f"wrote {path} and what belongs to it. Next: asmnet-kit models {path.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
