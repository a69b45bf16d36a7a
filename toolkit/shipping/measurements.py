"""What a card takes from measurements of a model, and which measurements it refuses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.reading import read_json
from asmnet_kit.base.run_folder import MANIFEST
from asmnet_kit.results.results import Result, load_result
from asmnet_kit.shipping.words import Words
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.metadata import ModelMetadata, with_metadata
from asmnet_kit.tflite.runtime import open_runtime

# Of an evaluation: what a card keeps. The names of faces that could not be read stay out.
EVALUATION_KEYS = (
    "dataset",
    "dataset_format",
    "dataset_fingerprint",
    "split",
    "subset",
    "boxes",
    "looks",
    "complete_only",
    "faces",
    "faces_skipped",
    "faces_incomplete",
    "faces_missed",
    "faces_unreadable",
    "failure_rate_faces",
    "failure_rate_counts_misses",
    "nme_percent",
    "nme_interval_percent",
    "failure_rate_percent",
    "auc",
    "auc_interval",
    "pose_mae_deg",
    "pose_mae_interval_deg",
    "pose_source",
    "plausibility",
    "uncertainty",
    "visibility",
    "per_subset",
)
OF_A_RUN = ("parameters", "macs")

Card = dict[str, Any]  # a JSON object


def evaluation_of(path: Path, sha256: str, words: Words) -> Card:
    """What a card keeps of the JSON of ``asmnet-kit evaluate --json``.

    Raises:
        ModelError: an evaluation of another model, or by a kit that left out of the failure rate
            what the detector missed, or that looked at a face once in a detector's box.
        UsageError: no JSON object, or of a data set that the words do not describe.
    """
    content = read_object(path)
    if content.get("model_sha256") != sha256:
        raise ModelError(
            f"{path}: expected an evaluation of the model with SHA-256 {sha256[:16]}…, got one of "
            f"{str(content.get('model_sha256'))[:16]}…: evaluate this very file with --json"
        )
    if not content.get("failure_rate_counts_misses"):
        raise ModelError(
            f"{path}: expected a failure rate that counts missed faces, got one of an earlier "
            "version of the kit: evaluate again"
        )
    if content.get("boxes") == "detector" and "looks" not in content:
        raise ModelError(
            f"{path}: expected an evaluation that says how often the model looked at a face, got "
            "one of an earlier version of the kit: evaluate again"
        )
    if content["dataset"] not in words.sets:
        raise UsageError(
            f"{path}: expected a data set of the words' [sets] ({', '.join(words.sets)}), "
            f"got {content['dataset']!r}: say there what it is"
        )
    return {key: content[key] for key in EVALUATION_KEYS if key in content}


def speed_of(path: Path, sha256: str) -> Card:
    """What a card keeps of a result file of ``asmnet-kit benchmark``.

    Raises:
        ModelError: a result of another model.
        KitError: no result.
    """
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


def kept_facts(card: Path, content: bytes, metadata: ModelMetadata) -> dict[str, Any]:
    """What an earlier card of this network says of its run, whose folder is gone.

    Args:
        content, metadata: of the file, which may differ from the earlier one in what it says of
            itself, for example by a new calibration.
    """
    earlier: Card = read_object(card) if card.exists() else {}
    file = card.parent / Path(str(earlier.get("file", ""))).name
    try:
        said_alike = with_metadata(file.read_bytes(), metadata)
    except (OSError, ModelError):
        return {}
    if said_alike != with_metadata(content, metadata):
        return {}
    model: Card = earlier["model"]
    return {key: model[key] for key in (*OF_A_RUN, "trained") if key in model}


def facts_of_run(run: Path) -> dict[str, Any]:
    """What a run's manifest says of the network and of how it was trained."""
    manifest = read_object(run / MANIFEST)
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


def headline(accuracy: Sequence[Card]) -> dict[str, float]:
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


def same_outputs(measured: Path, stamped: bytes, metadata: ModelMetadata) -> bool:
    """Whether a model file and another's content give the same bits for one crop of noise."""
    shape = (1, metadata.input_size, metadata.input_size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outputs = []
    with temporary_folder() as folder:
        copy = folder / measured.name
        copy.write_bytes(stamped)
        for path in (measured, copy):
            runtime = open_runtime(path)
            outputs.append(runtime.run({"image": input_values(noise, runtime.inputs["image"])}))
    one, other = outputs
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def read_object(path: Path) -> Card:
    """A JSON object.

    Raises:
        UsageError: not there, or something else.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
