"""A run's folder: whether a run may begin in it, and whether the run in it can go on.

Going on needs the same settings and the same data. *Where* the data, a teacher or the weights to
start from lie is another matter: they may have moved since, and lie elsewhere on another worker.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tf_keras

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import is_unused, replacing
from asmnet_kit.base.places import is_url
from asmnet_kit.base.run_folder import CONFIG, MANIFEST, MODEL
from asmnet_kit.datasets.fingerprints import changed_faces, fingerprints
from asmnet_kit.tflite.metadata import COMMON_SCHEMES
from asmnet_kit.training.catalogue import IMAGENET
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.manifest import read_manifest


def require_free(run: Path) -> None:
    """Refuse a folder that a new run may not write to.

    Raises:
        UsageError: it holds a run, or something else.
    """
    if (run / CONFIG).is_file():
        raise UsageError(
            f"{run} already holds a run: continue it with --resume, or choose another --out"
        )
    if not is_unused(run):
        raise UsageError(
            f"{run}: expected an empty or new folder for the run; choose another --out"
        )


def settings_again(
    begun: TrainConfig, given: Mapping[str, Any], *, rule: str, advice: str
) -> TrainConfig:
    """The settings of a run, with the places where its things lie now.

    Args:
        begun: the run's settings.
        given: fields of ``TrainConfig`` by name, those that are given once more.
        rule, advice: for the message: what ``given`` breaks, and what to do about it.

    Raises:
        UsageError: they differ in more than places, or name a place that the run has no use for.
    """
    asked = replace(begun, **given).validated()
    differences = begun.differences(asked)
    if differences:
        raise UsageError(f"{rule}, these differ: {'; '.join(differences)}. {advice}")
    return asked


def require_places(config: TrainConfig, *, where: str, starts: bool) -> None:
    """Refuse settings that name what is not there, and say how to name it.

    Args:
        where: whose settings they are.
        starts: whether the weights of ``init_from`` are still to be read.

    Raises:
        UsageError: naming what is missing and its option.
    """
    for name, place in config.places().items():
        is_read = name != "init_from" or (starts and place != IMAGENET)
        if is_read and not is_url(place) and not Path(place).exists():
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{where}: its {option} {place} is not there: say where it is now with {option}"
            )


def dataset_facts(sources: Sources) -> dict[str, Any]:
    """The manifest's ``dataset``; ``sha256`` and ``labels_sha256`` are of the training faces.

    Where people are drawn as the run goes these are the first of them, and ``people`` says all that
    the others depend on.
    """
    drawn = {} if sources.stream is None else {"people": sources.stream.to_json()}
    scheme = sources.train.scheme
    # Not of 68 and 98 points, which earlier versions' manifests say by the landmarks' number.
    points = {} if scheme.name in COMMON_SCHEMES else {"scheme": scheme.reference}
    return {
        "name": sources.train.name,
        "format": sources.train.format,
        "counts": {"train": sources.epoch_faces, "val": len(sources.val.faces)},
        **drawn,
        **points,
        **fingerprints(sources.train, sources.val),
    }


def manifest_to_resume(run: Path, config: TrainConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of the run in a folder; empty where it stopped before anything was computed.

    Args:
        config: its settings, with the places of now.
        facts: ``dataset_facts`` of what lies there.

    Raises:
        UsageError: the run began with other data, or other weights to start from.
    """
    if not (run / MANIFEST).exists():
        return {}
    earlier = read_manifest(run)
    require_same_data(facts, earlier.get("dataset", {}), config, those_of=f"{run} began with")
    start = start_sha256(config.init_from)
    began_from = earlier.get("init_from_sha256", start)
    if start is not None and start != began_from:
        raise UsageError(
            f"--init-from {config.init_from}: not the weights that {run} began with: leave the "
            "option out, or name the same file where it is now"
        )
    return earlier


def require_same_data(
    facts: Mapping[str, Any], others: Mapping[str, Any], config: TrainConfig, *, those_of: str
) -> None:
    """Refuse data that is not what the run trains on.

    Args:
        facts: ``dataset_facts`` of the data here.
        others: of the data that it should be.
        config: says where the data here lies.
        those_of: whose ``others`` are: "the chief trains on".

    Raises:
        UsageError: files, sizes, landmarks or other labels differ.
    """
    if others.get("scheme") != facts.get("scheme"):
        raise UsageError(
            f"--scheme {config.scheme or 'not given'}: the landmarks' scheme is not the one that "
            f"{those_of}: restore its file, or start a new run"
        )
    if changed := changed_faces(others, facts):
        which, what = changed
        places = ", ".join(
            f"--{name.replace('_', '-')} {place}"
            for name, place in config.places().items()
            if name not in ("init_from", "scheme")
        )
        advice = "restore the data, name the folder that it is in now, or start a new run"
        if config.draws_people and "training" in which:  # there is no folder to restore
            places = f"--data {config.data}"
            advice = (
                "other versions of asmnet-kit draw other people of a seed: use the same version, "
                "or start a new run"
            )
        raise UsageError(
            f"{places}: the {which} data differ from what {those_of} ({what}; "
            f"{others.get('counts')} there, {facts['counts']} here): {advice}"
        )


def start_sha256(init_from: str) -> str | None:
    """sha256 of the weights to start from; None without any, for ImageNet's, or a missing file."""
    path = Path(init_from)
    path = path / MODEL if path.is_dir() else path
    if not init_from or init_from == IMAGENET or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_model(model: tf_keras.Model, path: Path) -> None:
    """Write a .keras file, whole or not at all."""
    with replacing(path) as temporary:
        model.save(temporary)
