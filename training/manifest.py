"""``manifest.json`` of a run folder: where a model came from and how good it is."""

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asmnet_kit import __version__
from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import write_json
from asmnet_kit.base.reading import read_json
from asmnet_kit.base.run_folder import MANIFEST
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.schemes import Scheme, scheme_from
from asmnet_kit.tflite.metadata import MAX_CROP_SCALE, metadata_of
from asmnet_kit.tflite.reader import read_graph

SCHEMA_VERSION = 1
PACKAGES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
)
# Weights follow from the data and from those they started as: what may be done is theirs to say.
LICENCE = "code: Apache-2.0; weights: as the licences of the training data and of --init-from allow"


# Of the keys that commands read.
KINDS: dict[str, Any] = {
    "architecture": dict,
    "dataset": dict,
    "metrics": dict,
    "packages": dict,
    "resumed": list,
    "finished_at": str,
    "licence": str,
    "recipe": str,
    "crop_scale": (int, float),
    "mirrors_pictures": bool,
}
_NAMES: dict[Any, str] = {
    dict: "an object", list: "a list", str: "text", (int, float): "a number",
    bool: "true or false",
}  # fmt: skip
NAME = re.compile(r"[\w.-]{0,80}")  # of an architecture: it becomes a part of a file's name


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on, as far as installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The commit of the kit's own source, ``+changes`` behind it where files differ from it.

    None where the kit was installed without its repository.
    """
    source = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(source), *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    # An installed copy may lie inside somebody else's repository, which does not know this file.
    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = git("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and git("status", "--porcelain", "-uno") else commit


def scheme_of_run(run: Path) -> Scheme | None:
    """The landmarks of a run, by its manifest; None of an earlier version, which knew 68 and 98.

    Raises:
        ModelError: no manifest, or its scheme is none.
    """
    said = read_manifest(run).get("scheme")
    if said is None:
        return None
    try:
        return scheme_from(said, where=str(run / MANIFEST))
    except UsageError as error:
        raise ModelError(str(error)) from error


def checked_crop_scale(run: Path) -> float:
    """The crop's scale in a run's manifest.

    Raises:
        ModelError: no manifest, or no number above 0 that a crop can have.
    """
    scale = read_manifest(run).get("crop_scale", CROP_SCALE)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise ModelError(f"{run}: expected a number as the manifest's crop_scale, got {scale!r}")
    if not 0 < scale <= MAX_CROP_SCALE:
        raise ModelError(f"{run}: expected a crop_scale above 0 and up to 100, got {scale!r}")
    return float(scale)


def crop_scale_of_start(start: Path) -> float | None:
    """The crop's scale that weights to start from were trained with; None where nothing says it.

    Args:
        start: a run folder or a .tflite says it; other models and weights do not.

    Raises:
        ModelError: the run's manifest, or the .tflite, cannot be read.
    """
    if (start / MANIFEST).is_file():
        return checked_crop_scale(start)
    if not start.is_file() or start.suffix != ".tflite":
        return None
    graph = read_graph(start)
    try:
        return metadata_of(graph, name=str(start)).crop_scale
    except ModelError:  # not one of the kit's
        return None


def write_manifest(run: Path, content: dict[str, Any]) -> None:
    """Write ``manifest.json`` with the fields that every run has first."""
    write_json(
        run / MANIFEST, {"schema_version": SCHEMA_VERSION, "kit_version": __version__, **content}
    )


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run folder.

    Raises:
        ModelError: it is missing, no JSON, or of another schema version.
    """
    path = run / MANIFEST
    try:
        manifest = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"{path}: no such file: expected the folder of a training run") from error
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found != SCHEMA_VERSION:
        raise ModelError(f"{path}: expected schema_version {SCHEMA_VERSION}, got {found}")
    _check_types(path, manifest)
    return dict(manifest)


def _check_types(path: Path, manifest: Mapping[str, Any]) -> None:
    """A manifest may have been edited: what commands read of it must be what they take it for.

    Raises:
        ModelError: naming the first key that is not.
    """
    for key, kind in KINDS.items():
        value = manifest.get(key)
        is_kind = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if value is not None and not is_kind:
            raise ModelError(f"{path}: expected {key} to be {_NAMES[kind]}, got {value!r:.60}")
    name = manifest.get("architecture", {}).get("name", "")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ModelError(f"{path}: expected the name of an architecture, got {name!r:.60}")
    if manifest.get("finished_at"):
        metrics = manifest.get("metrics") or {}
        for key in ("epochs", "best_epoch"):
            if not isinstance(metrics.get(key), int):
                raise ModelError(f"{path}: expected metrics.{key} of a finished run to be a number")
