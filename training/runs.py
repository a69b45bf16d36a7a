"""The runs below some folders, and the .tflite files that were made from them, for comparing."""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.run_folder import CHECKPOINTS, CONFIG, MANIFEST, MODEL
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.manifest import read_manifest

SCHEMA_VERSION = 1
TFLITE = ".tflite"


@dataclass(frozen=True)
class MadeModel:
    """A .tflite of the kit.

    Attributes:
        nme_percent: on the run's validation faces, or None where the file does not say.
        made_from: SHA-256 of the float model, or None likewise.
    """

    path: Path
    recipe: str
    size_bytes: int
    nme_percent: float | None
    made_from: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "recipe": self.recipe,
            "size_bytes": self.size_bytes,
            "nme_percent": self.nme_percent,
        }


@dataclass(frozen=True)
class Run:
    """A training run; what its folder does not say is None.

    Attributes:
        data, data_format: the data set's name and how it was laid out.
        recipe: that its settings started from.
        epochs, of_epochs: done, and asked for.
        nme_percent: of its best epoch on ``val_faces`` validation faces.
        val_fingerprint: tells validation sets apart.
        date: when it was finished, else when it began, ISO 8601.
        models: made from it, by path.
    """

    path: Path
    data: str | None
    data_format: str | None
    recipe: str | None
    architecture: str | None
    input_size: int | None
    landmarks: int | None
    loss: str | None
    epochs: int | None
    of_epochs: int | None
    finished: bool
    nme_percent: float | None
    val_faces: int | None
    val_fingerprint: str | None
    date: str | None
    models: tuple[MadeModel, ...] = ()

    def to_json(self) -> dict[str, Any]:
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            **content,
            "path": str(self.path),
            "models": [model.to_json() for model in self.models],
        }


@dataclass(frozen=True)
class FoundRuns:
    """What is below some folders.

    Attributes:
        runs: by date, the oldest first.
        without_run: models whose run is not there.
        problems: (path, reason) of what looks like a run or a model and cannot be read as one.
    """

    runs: tuple[Run, ...]
    without_run: tuple[MadeModel, ...]
    problems: tuple[tuple[Path, str], ...]

    @property
    def alike(self) -> bool:
        """Whether all validated runs saw the same faces, so that their NMEs can be compared."""
        return len({run.val_fingerprint for run in self.runs} - {None}) <= 1

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit runs list --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [run.to_json() for run in self.runs],
            "models_without_run": [model.to_json() for model in self.without_run],
            "validated_on_same_faces": self.alike,
            "problems": [{"path": str(path), "reason": why} for path, why in self.problems],
        }


def find_runs(folders: Sequence[Path]) -> FoundRuns:
    """Every run and every .tflite at or below some folders; hidden folders and links are left out.

    Raises:
        UsageError: one is no folder.
    """
    runs: dict[Path, Run] = {}
    hashes: dict[str, Path] = {}
    models: dict[Path, MadeModel] = {}
    problems: dict[Path, str] = {}
    known: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of runs, got a file")
        found, before = False, len(problems)
        for place in _walk(folder, problems):
            found = True
            if (real := place.resolve()) in known:  # by another folder or another way to it
                continue
            known.add(real)
            try:
                if place.is_dir():
                    runs[place] = _read_run(place)
                    if (sha256 := _sha256(place / MODEL)) is not None:
                        hashes[sha256] = place
                else:
                    models[place] = _read_model(place)
            except (KitError, OSError) as error:
                problems[place] = str(error).removeprefix(f"{place}: ")
        if not found and len(problems) == before:
            problems[folder] = "no run and no model of the kit is at or below it"
    made: dict[Path, list[MadeModel]] = {}
    for model in models.values():
        made.setdefault(hashes.get(model.made_from or "", Path()), []).append(model)
    whole = [replace(run, models=tuple(made.get(path, ()))) for path, run in runs.items()]
    return FoundRuns(
        runs=tuple(sorted(whole, key=lambda run: (run.date or "", str(run.path)))),
        without_run=tuple(made.get(Path(), ())),
        problems=tuple(problems.items()),
    )


def _walk(folder: Path, problems: dict[Path, str]) -> Iterator[Path]:
    """Folders that look like runs, and .tflite files, also those in and below such a folder."""

    def note(error: OSError) -> None:
        problems[Path(error.filename or folder)] = error.strerror or str(error)

    for name, inner, files in os.walk(folder, onerror=note):
        place = Path(name)
        begun = CONFIG in files and CHECKPOINTS in inner
        if MANIFEST in files or begun:
            yield place
        if begun:
            inner.remove(CHECKPOINTS)
        inner[:] = sorted(one for one in inner if not one.startswith("."))
        yield from (
            place / file
            for file in sorted(files)
            if file.endswith(TFLITE) and not file.startswith(".")
        )


def _read_run(folder: Path) -> Run:
    """Raises: ModelError: its manifest is missing or damaged, or somebody else's."""
    manifest = read_manifest(folder)
    if "kit_version" not in manifest:
        raise ModelError(f"{folder}: {MANIFEST} is not one of asmnet-kit")
    settings: dict[str, Any] = {}
    with suppress(KitError):  # of another version: the manifest says the rest
        settings = asdict(TrainConfig.load(folder / CONFIG))
    date = manifest.get("finished_at") or _said(manifest, str, "started_at")
    return Run(
        path=folder,
        data=_said(manifest, str, "dataset", "name"),
        data_format=_said(manifest, str, "dataset", "format"),
        recipe=_said(manifest, str, "recipe"),
        architecture=_said(manifest, str, "architecture", "name") or settings.get("arch"),
        input_size=_said(manifest, int, "architecture", "input_size") or settings.get("input_size"),
        landmarks=_said(manifest, int, "architecture", "landmarks"),
        loss=settings.get("loss"),
        epochs=_said(manifest, int, "metrics", "epochs"),
        of_epochs=settings.get("epochs"),
        finished=bool(manifest.get("finished_at")),
        nme_percent=_said(manifest, (int, float), "metrics", "validation", "nme_percent"),
        val_faces=_said(manifest, int, "metrics", "validation", "faces"),
        val_fingerprint=_said(manifest, str, "metrics", "validation", "dataset_fingerprint"),
        date=date,
    )


def _said(content: Any, kind: Any, *keys: str) -> Any:
    """A value of nested JSON, or None where there is none of that kind: files may be edited."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    if isinstance(content, bool) or not isinstance(content, kind):
        return None
    if isinstance(content, (int, float)):
        try:
            return content if math.isfinite(content) else None
        except OverflowError:  # an integer of hundreds of digits
            return None
    return content


def _read_model(path: Path) -> MadeModel:
    """Raises: ModelError: no .tflite, or none of the kit."""
    about: ModelMetadata = read_metadata(path)
    return MadeModel(
        path=path,
        recipe=about.recipe,
        size_bytes=path.stat().st_size,
        nme_percent=_said(about.metrics, (int, float), "validation", "nme_percent"),
        made_from=_said(about.source, str, "model_sha256"),
    )


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
