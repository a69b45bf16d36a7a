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
outputs stay the same to the bit is checked.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.files import write_bytes, write_json, write_text
from asmnet_kit.base.run_folder import MANIFEST
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.results.results import Result, load_result
from asmnet_kit.shipping.shipped import FOLDER, LICENCES, SCHEMA_VERSION, shipped_models
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata, with_metadata
from asmnet_kit.tflite.runtime import open_runtime

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

# What a person may not write into a card: sizes, times and shares are measured.
FIGURE = re.compile(r"\d[\d.,]*\s*(%|percent\b|ms\b|KB\b|MB\b|°|degrees\b)")

# Of an evaluation: what a card keeps. The names of faces that could not be read stay out.
EVALUATION_KEYS = (
    "dataset",
    "dataset_format",
    "dataset_fingerprint",
    "split",
    "subset",
    "boxes",
    "complete_only",
    "faces",
    "faces_skipped",
    "faces_incomplete",
    "faces_missed",
    "faces_unreadable",
    "nme_percent",
    "failure_rate_percent",
    "auc",
    "pose_mae_deg",
    "pose_source",
    "plausibility",
    "per_subset",
)
OF_A_RUN = ("parameters", "macs")

Card = dict[str, Any]  # a JSON object


@dataclass(frozen=True)
class Words:
    """What a person says about a model; no figures.

    Attributes:
        summary: one line.
        default: whether ``predict`` uses it unless told otherwise.
        licence: of the weights, one of ``LICENCES``.
        trained_on, terms, use: paragraphs of Markdown.
        failures: what is known to go wrong.
        sets: what the data sets are that it was measured on, by their names in the measurements.
    """

    summary: str
    default: bool
    licence: str
    trained_on: str
    terms: str
    use: str
    failures: tuple[str, ...]
    sets: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> "Words":
        """The words in a TOML file.

        Raises:
            UsageError: no TOML, keys missing or unknown, an unknown licence, or a figure.
        """
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: expected the words of a card as TOML: {error}") from error
        expected = {field.name: field.type for field in fields(cls)}
        if set(content) != set(expected):
            raise UsageError(
                f"{path}: expected the keys {', '.join(expected)}; "
                f"got {', '.join(content) or 'none'}"
            )
        words = cls(**{**content, "failures": tuple(content["failures"])})
        if words.licence not in LICENCES:
            raise UsageError(
                f"{path}: expected a licence of {', '.join(LICENCES)}, got {words.licence!r}"
            )
        for text in (words.summary, words.trained_on, words.terms, words.use, *words.failures):
            figure = FIGURE.search(text)
            if figure:
                raise UsageError(
                    f"{path}: expected words without figures, got {figure.group()!r}: "
                    "what can be measured comes from a measurement"
                )
        return words


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

    Args:
        words_file: ``NAME.toml``.
        model: the .tflite as it was measured, or as it ships already.
        evaluations: JSON of ``asmnet-kit evaluate --json``; the first of a data set is the one that
            the list of models shows.
        benchmarks: result files of ``asmnet-kit benchmark``.
        shape_model: an .npz that judges the model's predictions.
        run: the training run's folder, for the number of parameters and multiplications and how
            long it was trained; where it is gone, the earlier card of the same file knows.

    Raises:
        UsageError: no evaluation or benchmark, a second default model, a data set without words.
        KitError: a file that cannot be read, or a measurement of another model.
    """
    words = Words.read(words_file)
    name = words_file.stem
    content = model.read_bytes() if model.is_file() else b""
    metadata = read_metadata(model)
    measured_sha256 = _sha256(content)
    if not evaluations or not benchmarks:
        raise UsageError("expected at least one evaluation and one benchmark result of the model")
    accuracy = [_evaluation(path, measured_sha256, words) for path in evaluations]
    speed = [_benchmark(path, measured_sha256) for path in benchmarks]
    if words.default:
        others = [m.name for m in shipped_models(folder) if m.is_default and m.name != name]
        if others:
            raise UsageError(f"{', '.join(others)} is the default model: there can be only one")

    stamped = with_metadata(content, replace(metadata, licence=licence_in_file(words.licence)))
    if not _same_outputs(model, stamped, metadata):
        raise ModelError(f"{model}: its outputs changed with its metadata: convert it again")
    shapes = None if shape_model is None else _shape_model_bytes(shape_model, metadata)
    shipped = folder / metadata.file_name
    taken = [m.name for m in shipped_models(folder) if m.path == shipped and m.name != name]
    if taken:
        raise UsageError(f"{shipped.name} is the file of {taken[0]}: give this card its name")
    card: Card = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "file": shipped.name,
        "shape_model": None if shapes is None else shipped.with_suffix(".npz").name,
        "summary": words.summary,
        "default": words.default,
        "licence": words.licence,
        "trained_on": words.trained_on,
        "terms": words.terms,
        "use": words.use,
        "failures": list(words.failures),
        "sets": words.sets,
        "model": {
            "architecture": metadata.architecture,
            "recipe": metadata.recipe,
            "landmarks": metadata.landmarks,
            "input_size": metadata.input_size,
            "size_bytes": len(stamped),
            "sha256": _sha256(stamped),
            "measured_sha256": measured_sha256,
            **(_of_run(run) if run else _kept(folder / f"{name}.json", measured_sha256)),
        },
        "nme_percent": _headline(accuracy),
        "accuracy": accuracy,
        "speed": speed,
        "kit_version": __version__,
    }
    path = folder / f"{name}.json"
    _remove_old(path)
    write_bytes(shipped, stamped)
    if shapes is not None:
        write_bytes(shipped.with_suffix(".npz"), shapes)
    write_text(folder / f"{name}.md", card_text(card))
    write_json(path, card)
    return path


def card_text(card: Card) -> str:
    """A card for readers, Markdown."""
    model = card["model"]
    facts = [
        f"{model['landmarks']} landmarks and head pose, input {model['input_size']} × "
        f"{model['input_size']} pixels, {model['architecture']}, {model['recipe']}, "
        f"{model['size_bytes'] / 1000:.0f} KB"
    ]
    if "parameters" in model:
        facts.append(
            f"{model['parameters'] / 1e6:.2f} M parameters, {model['macs'] / 1e6:.1f} M "
            "multiplications per face"
        )
    lines = [
        f"# {card['name']}",
        "",
        f"{card['summary']}.",
        "",
        f"- File: `{card['file']}` (SHA-256 `{model['sha256'][:16]}…`)",
        *(f"- {fact}" for fact in facts),
        f"- Licence of the weights: {card['licence']} ({LICENCES[card['licence']]})",
        "",
        f"**Trained on.** {card['trained_on']}",
        "",
        f"**Terms.** {card['terms']}",
        "",
        f"**Use.** {card['use']}",
        "",
        "## Accuracy",
        "",
        "NME in percent of the distance between the outer eye corners; failures: faces above 8 %; "
        "pose: mean absolute error of yaw, pitch, roll.",
        "",
        "| faces of | how many | crops around | NME % | failures % | pose ° |",
        "|---|---|---|---|---|---|",
        *(row for scores in card["accuracy"] for row in _accuracy_rows(scores)),
        "",
        *(f"- `{name}`: {about}." for name, about in card["sets"].items()),
        *_pose_remarks(card["accuracy"]),
        "",
        *_plausibility_lines(card["accuracy"]),
        "## Speed",
        "",
        "Milliseconds for one face; crop: cutting the input out of a picture of 640 × 480.",
        "",
        "| target | threads | median | 99th percentile | crop | peak memory | machine, runtime |",
        "|---|---|---|---|---|---|---|",
        *map(_speed_row, card["speed"]),
        "",
        "## Known failures",
        "",
        _worst(card["accuracy"]),
        *(f"- {failure}" for failure in card["failures"]),
        "",
        f"Written by asmnet-kit {card['kit_version']} (`python -m asmnet_kit.shipping.ship`) from "
        f"`{card['name']}.toml` and measurements of this model.",
    ]
    return "\n".join(lines) + "\n"


def licence_in_file(licence: str) -> str:
    """The licence as the model file says it, which may be far from this folder."""
    if licence == "Apache-2.0":
        return licence
    return f"{licence} of asmnet-kit ({LICENCES[licence]})"


def _evaluation(path: Path, sha256: str, words: Words) -> Card:
    content = _json(path)
    if content.get("model_sha256") != sha256:
        raise ModelError(
            f"{path}: expected an evaluation of the model with SHA-256 {sha256[:16]}…, got one of "
            f"{str(content.get('model_sha256'))[:16]}…: evaluate this very file with --json"
        )
    if content["dataset"] not in words.sets:
        raise UsageError(
            f"{path}: expected a data set of the words' [sets] ({', '.join(words.sets)}), "
            f"got {content['dataset']!r}: say there what it is"
        )
    return {key: content[key] for key in EVALUATION_KEYS if key in content}


def _benchmark(path: Path, sha256: str) -> Card:
    result: Result = load_result(path)
    if result["model"]["sha256"] != sha256:
        raise ModelError(
            f"{path}: expected a result of the model with SHA-256 {sha256[:16]}…, got one of "
            f"{result['model']['sha256'][:16]}…: benchmark this very file"
        )
    return {
        "target": result["target"]["actual"],
        "threads": result["target"]["threads"],
        "delegate": result["target"]["delegate"],
        "machine": {
            key: result["machine"].get(key)
            for key in ("cpu", "architecture", "cores", "load_average", "os")
        },
        "runtime": {key: result["runtime"].get(key) for key in ("name", "version")},
        "measured_at": result["measured_at"],
        "p50_ms": result["summary"]["p50"],
        "p99_ms": result["summary"]["p99"],
        "runs": len(result["timings_ms"]["invoke"]),
        "pre_ms": result["timings_ms"].get("pre"),
        "load_ms": result["timings_ms"]["load"],
        "peak_rss_bytes": result["memory"]["peak_rss_bytes"],
    }


def _kept(card: Path, sha256: str) -> dict[str, Any]:
    """What an earlier card of this very file says of its run, whose folder is gone."""
    model: Card = _json(card)["model"] if card.exists() else {}
    if model.get("sha256") != sha256:
        return {}
    return {key: model[key] for key in (*OF_A_RUN, "trained") if key in model}


def _of_run(run: Path) -> dict[str, Any]:
    """What a run's manifest says of the network and of how it was trained."""
    manifest = _json(run / MANIFEST)
    return {
        **{key: manifest["architecture"][key] for key in OF_A_RUN},
        "trained": {
            "epochs": manifest["metrics"]["epochs"],
            "seed": manifest["seed"],
            "faces": manifest["dataset"]["counts"],
            "dataset_fingerprint": manifest["dataset"]["sha256"],
            "finished_at": manifest["finished_at"],
        },
    }


def _headline(accuracy: Sequence[Card]) -> dict[str, float]:
    """NME by data set: of each the first evaluation's; by subset for the first of all."""
    figures: dict[str, float] = {}
    seen: set[str] = set()
    for number, scores in enumerate(accuracy):
        dataset = scores["dataset"]
        if dataset in seen:
            continue
        seen.add(dataset)
        parts = scores["per_subset"] if number == 0 else {}
        for subset, part in parts.items():
            figures[f"{dataset}/{subset}"] = part["nme_percent"]
        if not parts:
            figures[dataset] = scores["nme_percent"]
    # Faces of which one eye is hidden, as a whole subset may be, have no eye distance and no NME.
    return {name: nme for name, nme in figures.items() if nme is not None}


def _remove_old(card: Path) -> None:
    """Remove the files that an earlier card names: a model of another size, a shape model."""
    if card.is_file():
        old = _json(card)
        for name in (old["file"], old["shape_model"]):
            if name is not None:
                (card.parent / Path(name).name).unlink(missing_ok=True)


def _same_outputs(measured: Path, stamped: bytes, metadata: ModelMetadata) -> bool:
    """Whether two models give the same bits for one crop of noise."""
    size = metadata.input_size
    noise = np.random.default_rng(0).integers(-128, 128, (1, size, size, 3))
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / measured.name
        copy.write_bytes(stamped)
        for path in (measured, copy):
            runtime = open_runtime(path)
            dtype = runtime.inputs["image"].dtype
            image = noise if dtype == np.int8 else noise / 128
            outputs.append(runtime.run({"image": image.astype(dtype)}))
    one, other = outputs
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def _shape_model_bytes(source: Path, metadata: ModelMetadata) -> bytes:
    Plausibility.load(source).check_points(metadata.landmarks)
    return source.read_bytes()


def _accuracy_rows(scores: Card) -> list[str]:
    boxes = {"landmarks": "the labels", "detector": "the detector's box"}[scores["boxes"]]
    rows = [_accuracy_row(_place(scores, boxes=False), boxes, scores)]
    for name, part in scores["per_subset"].items():
        rows.append(_accuracy_row(f"– {name}", boxes, part))
    return rows


def _place(scores: Card, *, boxes: bool = True) -> str:
    """For example ``faces68 test, complete, detector``."""
    split = f" {scores['split']}" if scores.get("split") else ""
    complete = ", complete" if scores["complete_only"] else ""
    detector = ", detector" if boxes and scores["boxes"] == "detector" else ""
    return f"{scores['dataset']}{split}{complete}{detector}"


def _accuracy_row(where: str, boxes: str, scores: Card) -> str:
    mae = scores["pose_mae_deg"]
    pose = "–" if mae is None else " / ".join(f"{mae[k]:.1f}" for k in ("yaw", "pitch", "roll"))
    nme, failures = scores["nme_percent"], scores["failure_rate_percent"]["8"]
    return (
        f"| {where} | {scores['faces']} | {boxes} | {'–' if nme is None else f'{nme:.2f}'} | "
        f"{'–' if failures is None else f'{failures:.1f}'} | {pose} |"
    )


def _pose_remarks(accuracy: Sequence[Card]) -> list[str]:
    if any(scores["pose_source"] == "landmarks" for scores in accuracy):
        names = dict.fromkeys(s["dataset"] for s in accuracy if s["pose_source"] == "landmarks")
        return [
            f"- {', '.join(f'`{name}`' for name in names)}: no pose labels; the pose is compared "
            "with one fitted to the labelled landmarks."
        ]
    return []


def _plausibility_lines(accuracy: Sequence[Card]) -> list[str]:
    """How well the plausibility ranks, for each evaluation that measured it."""
    rows = [
        f"| {_place(scores)} | {part['failures']} of {part['faces']} | "
        f"{part['auroc']['residual']:.2f} | {part['mean_judgement']:.2f} | "
        f"{1 - part['failures'] / part['faces']:.2f} |"
        for scores in accuracy
        if (part := scores.get("plausibility")) and part["auroc"]["residual"] is not None
    ]
    if not rows:
        return []
    return [
        "## Plausibility",
        "",
        "The probability that a face's NME is at most 8 %, judged from its predicted shape alone. "
        "AUROC: how often a face above 8 % gets the lower plausibility of two (0.5 is chance).",
        "",
        "| faces of | above 8 % | AUROC | mean plausibility | share at most 8 % |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _speed_row(speed: Card) -> str:
    machine = speed["machine"]
    crop = "–" if speed["pre_ms"] is None else f"{speed['pre_ms']:.2f}"
    peak = speed["peak_rss_bytes"]
    return (
        f"| {speed['target']} | {speed['threads'] or '–'} | {speed['p50_ms']:.2f} | "
        f"{speed['p99_ms']:.2f} | {crop} | "
        f"{'–' if peak is None else f'{peak / 1e6:.0f} MB'} | "
        f"{machine['cpu'] or machine['architecture']}, {machine['cores']} cores{_load(machine)}, "
        f"{speed['runtime']['name']} {speed['runtime']['version']} {speed['delegate'] or ''} |"
    )


def _load(machine: Card) -> str:
    """How busy the machine was with other work, where it says so."""
    load = machine["load_average"]
    return f" (load {load[0]:.1f})" if load else ""


def _worst(accuracy: Sequence[Card]) -> str:
    """Where most faces fail, of everything measured."""
    parts = [
        (part["failure_rate_percent"]["8"], f"{s['dataset']}/{name}", s["boxes"], part["faces"])
        for s in accuracy
        for name, part in {**s["per_subset"], "all": s}.items()
        if part["failure_rate_percent"]["8"] is not None
    ]
    share, where, boxes, faces = max(parts)
    return f"- Worst measured: {share:.1f} % of the {faces} faces of {where} fail (boxes: {boxes})."


def _json(path: Path) -> Card:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Parse, ship, say what was written."""
    parser = argparse.ArgumentParser(description="Put a model and its card into the kit.")
    parser.add_argument("words", type=Path, help="NAME.toml in toolkit/models")
    parser.add_argument("--model", type=Path, required=True, help="the .tflite as measured")
    parser.add_argument(
        "--evaluation", type=Path, action="append", default=[], help="evaluate --json, repeatable"
    )
    parser.add_argument(
        "--benchmark", type=Path, action="append", default=[], help="a result, repeatable"
    )
    parser.add_argument("--shape-model", type=Path, help="an .npz for the plausibility")
    parser.add_argument("--run", type=Path, help="the training run's folder")
    options = parser.parse_args()
    try:
        path = ship(
            options.words,
            model=options.model,
            evaluations=options.evaluation,
            benchmarks=options.benchmark,
            shape_model=options.shape_model,
            run=options.run,
            folder=options.words.parent,
        )
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {path} and what belongs to it. Next: asmnet-kit models {path.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
