"""Benchmark results: one JSON file for each model on a target, checked against a schema on load.

The schema ships beside this module (``results.schema.json``). A result is immutable: it holds the
raw samples and the facts of the machine and runtime, so that what is drawn from it can be redone.
"""

import json
import math
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from operator import ne
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base import reading
from asmnet_kit.base.console import clean, stderr
from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.base.files import require_exists, write_json
from asmnet_kit.machine.vulkan import SOFTWARE
from asmnet_kit.results.machine import machine_fingerprint
from asmnet_kit.results.quick_check import quick_check

SCHEMA_VERSION = 1
KIND = "benchmark"  # what a result calls itself
SUFFIX = ".json"
ARCHIVE = ".zip"
MAX_ARCHIVE_BYTES = 2**28
MAX_ARCHIVED = 1000  # results in an archive; the phone app shares some dozens
MAX_DEPTH = 100  # lists and objects in one another; a result has 6
LONGEST_MS = 1e9  # eleven days, as in the schema
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0}
# A summary written elsewhere may have been rounded; one by another formula is further off.
SUMMARY_SHARE, SUMMARY_SLACK = 1e-3, 1e-4

# What must be alike in two accuracies for one NME to be lower than the other.
ACCURACY_FACTS = (
    "dataset", "dataset_format", "dataset_fingerprint", "boxes", "complete_only", "faces",
)  # fmt: skip
# The same of splits, subsets, poses, boxes and visibility. Older results lack it or have another
# version, which tells of other things (the word before its colon): it tells two accuracies apart
# only where both have the same.
NEWER_ACCURACY_FACTS = ("dataset_labels_fingerprint",)
# Which points are compared, and by what their errors are divided: unknown of older results.
COMPARED_IN = ("scheme", "normalised_by")
SAME_MEASUREMENT = ("requested", "device", "threads", "tool", "affinity", "delegate", "options")
# A warning of accelerators whose arithmetic is not the CPU's; the phone app writes it, too.
SAME_BITS = "the outputs are the CPU's to the last bit: suspicious for an accelerator"
NO_ACCELERATOR = "cpu"  # what ``actual`` says when nothing but the CPU ran the model
TFLM = "TFLM"  # a delegate: a microcontroller's kernels, on this machine
ON_CPU = (NO_ACCELERATOR, "wasm", "wasm-threads")  # a browser names its ways to run on the CPU

Result = dict[str, Any]  # a JSON object that the schema accepts
_Read = dict[Path, dict[Path, Result]]  # by file: its result, or those of an archive


class ResultError(KitError):
    """A benchmark result that cannot be read."""


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a result."""
    text = files("asmnet_kit.results").joinpath("results.schema.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@cache
def _plainly_fits() -> Callable[[Any], bool]:
    return quick_check(_inlined(schema(), schema()["$defs"]))


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_inlined(schema(), schema()["$defs"]))


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """A part of the schema without references: following them is a third of a check's time."""
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].removeprefix("#/$defs/")], definitions)
    return {key: _inlined(item, definitions) for key, item in part.items() if key != "$defs"}


def check_result(content: Any, *, name: str) -> Result:
    """Check a parsed result against the schema.

    Args:
        name: of the file, for the message.

    Raises:
        ResultError: it is no benchmark result, of another schema version, or a key does not fit
            (the summary is that of the samples); the message names the key.
    """
    if not isinstance(content, dict):
        raise ResultError(f"{name}: expected a JSON object, got {type(content).__name__}")
    version = content.get("schema_version")
    kind = content.get("kind")
    if kind != KIND:
        raise ResultError(
            f"{name}: expected a benchmark result (kind 'benchmark'), got "
            f"{'none' if kind is None else repr(kind)}; asmnet-kit benchmark writes such files"
        )
    if version != SCHEMA_VERSION:
        raise ResultError(
            f"{name}: expected schema_version {SCHEMA_VERSION}, got {version!r}; "
            f"measure again with this version of asmnet-kit, or read it with the one that wrote it"
        )
    if not _plainly_fits()(content):
        _refuse_unfit(content, name=name)
    _refuse_another_summary(content, name=name)
    return content


def summarise(samples_ms: Sequence[float]) -> dict[str, float]:
    """Minimum, percentiles, mean, standard deviation (milliseconds) and runs per second.

    Percentiles interpolate linearly between the two nearest samples. No sample is dropped.
    """
    values = np.asarray(samples_ms, np.float64)
    summary = {"min": float(values.min())}
    percentiles = np.percentile(values, list(PERCENTILES.values())).tolist()
    summary |= dict(zip(PERCENTILES, percentiles, strict=True))
    summary |= {"mean": float(values.mean()), "std": float(values.std())}
    total = float(values.sum())
    summary["runs_per_second"] = 1000 * len(values) / total if total else 0.0
    return summary


def _refuse_another_summary(result: Result, *, name: str) -> None:
    """A summary that is not that of the samples was changed, or the samples were."""
    told = result["summary"]
    for key, expected in summarise(result["timings_ms"]["invoke"]).items():
        if not math.isclose(told[key], expected, rel_tol=SUMMARY_SHARE, abs_tol=SUMMARY_SLACK):
            raise ResultError(
                f"{name}: summary.{key}: expected {expected:.6g}, which the samples in "
                f"timings_ms.invoke give, got {told[key]:.6g}; results are not to be changed: "
                f"measure again"
            )


def _refuse_unfit(content: dict[str, Any], *, name: str) -> None:
    """Say what does not fit, unless all does for the general validator."""
    samples = content.get("timings_ms", {})
    samples = samples.get("invoke") if isinstance(samples, dict) else None
    if isinstance(samples, list) and samples:
        if not _are_times(samples):
            raise ResultError(
                f"{name}: timings_ms.invoke: expected times in milliseconds, all from 0 to "
                f"{LONGEST_MS:g}"
            )
        # Thousands of numbers would make the general validator slow: these are checked.
        content = {**content, "timings_ms": {**content["timings_ms"], "invoke": samples[:1]}}
    error = next(iter(_validator().iter_errors(content)), None)
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path) or "the top level"
        raise ResultError(f"{name}: {key}: {_shortened(error.message)}")


def _are_times(samples: list[Any]) -> bool:
    """Are they all numbers from 0 on? Without a step of Python for each; NaN is unlike itself."""
    if not set(map(type, samples)) <= {int, float}:
        return False
    return min(samples) >= 0 and max(samples) <= LONGEST_MS and not any(map(ne, samples, samples))


def load_result(path: Path) -> Result:
    """Read and check one result.

    Raises:
        ResultError: the file cannot be read, is no JSON (NaN included) or fails the schema.
    """
    try:
        text = reading.read_text(path, limit=reading.MAX_JSON_BYTES)
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from error
    return _checked(text, path)


def _checked(text: str, path: Path) -> Result:
    """
    Raises:
        ResultError: the text is no JSON or no result.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ResultError(f"{path}: expected JSON, but {error}") from error
    # In JSON, control characters stand as escapes, but for the last of ASCII.
    if not text.isascii() or "\\" in text or "\x7f" in text:
        content = clean(content)
    return check_result(content, name=str(path))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose numbers are all finite floats, or integers that a float can hold.

    Raises:
        ValueError: it is no JSON, nested too deeply, or holds NaN or a number beyond 1.8e308.
    """
    content = reading.parse_json(text, parse_constant=_refuse_constant, parse_int=_bounded_int)
    _refuse_infinite(content)
    return content


def load_results(paths: Sequence[Path]) -> list[tuple[Path, Result]]:
    """Read results from files, folders and archives.

    A folder means every ``.json`` in it, by name, and the results in every ``.zip``; a ``.zip``,
    such as the phone app shares, every ``.json`` in it. A file in an archive is called as if that
    were a folder. Results that lie beside their archive count once.

    Raises:
        ResultError: a file fails, or a folder or archive holds no result.
        UsageError: no path, or a path does not exist.
    """
    read: _Read = {}
    for path in paths:
        if path.is_dir():
            _read_folder(path, path.glob("*"), read)
        else:
            require_exists(path, expected="benchmark results")
            read[path] = _load_archive(path) if _is_archive(path) else {path: load_result(path)}
    if not read:
        raise UsageError("expected at least one benchmark result")
    return _told_once(read)


def _read_folder(folder: Path, inside: Iterable[Path], read: _Read) -> None:
    """Read the results and archives among the files inside of a folder, by name, each once.

    Raises:
        ResultError: one fails, or there is none.
    """
    files = sorted(
        path
        for path in inside
        if not path.name.startswith(".")
        and (path.suffix == SUFFIX or (_is_archive(path) and path.is_file()))
    )
    for path in files:
        if path not in read:
            read[path] = _results_beside(path) if _is_archive(path) else {path: load_result(path)}
    if not any(read[path] for path in files):
        raise ResultError(f"{folder}: expected benchmark results (*{SUFFIX}), found none")


def _told_once(read: _Read) -> list[tuple[Path, Result]]:
    """All results, but of an archive only those that do not lie beside it as well."""
    files = {path: results for path, results in read.items() if not _is_archive(path)}
    known: set[str] = set()
    if len(files) < len(read):
        known = {_content(result) for results in files.values() for result in results.values()}
    return [
        (path, result)
        for file, results in read.items()
        for path, result in results.items()
        if file in files or _content(result) not in known
    ]


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ARCHIVE


def _content(result: Result) -> str:
    return json.dumps(result, sort_keys=True)


def _load_archive(path: Path) -> dict[Path, Result]:
    """The results in a .zip, each .json of it; nothing of it is written anywhere.

    Raises:
        ResultError: it is no archive, holds no result or too much, or one of them fails.
    """
    try:
        with (
            reading.open_file(path, limit=MAX_ARCHIVE_BYTES) as file,
            zipfile.ZipFile(file) as archive,
        ):
            names = _json_in(archive)
            if not names:
                raise ResultError(f"{path}: expected benchmark results (*{SUFFIX}), found none")
            if len(names) > MAX_ARCHIVED:
                raise ResultError(
                    f"{path}: expected at most {MAX_ARCHIVED} results, got {len(names)}"
                )
            return {path / name: _checked(_member(archive, name), path / name) for name in names}
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror or error}") from error
    # What zipfile and zlib say of what is damaged, encrypted or packed in another way.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError) as error:
        raise ResultError(f"{path}: expected a .zip of results, but {error}") from error


def _results_beside(path: Path) -> dict[Path, Result]:
    """The results in a .zip that lies in a folder of results, where it may be of something else.

    One that cannot be read is told, not left out in silence.

    Raises:
        ResultError: a result in it fails, or there are too many.
    """
    found: dict[Path, Result] = {}
    try:
        with (
            reading.open_file(path, limit=MAX_ARCHIVE_BYTES) as file,
            zipfile.ZipFile(file) as archive,
        ):
            for looked_at, name in enumerate(_json_in(archive)):
                if looked_at == MAX_ARCHIVED and not found:
                    break  # a data set's, for example
                if text := _result_text(archive, name):
                    found[path / name] = _checked(text, path / name)
                if len(found) > MAX_ARCHIVED:
                    raise ResultError(f"{path}: expected at most {MAX_ARCHIVED} results, got more")
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        stderr().print(f"warning: {path}: left out, since it cannot be read: {error}", markup=False)
        return {}
    return found


def _json_in(archive: zipfile.ZipFile) -> list[str]:
    return sorted(
        name
        for name in archive.namelist()
        if name.endswith(SUFFIX) and not Path(name).name.startswith(".")
    )


def _result_text(archive: zipfile.ZipFile, name: str) -> str:
    """A member's text where it calls itself a result; nothing of any other."""
    try:
        text = _member(archive, name)
        content = json.loads(text)
    except (ValueError, RecursionError, RuntimeError, zlib.error, EOFError, zipfile.BadZipFile):
        return ""
    return text if isinstance(content, dict) and content.get("kind") == KIND else ""


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """
    Raises:
        ValueError: it is larger than a result can be, or no UTF-8.
    """
    with archive.open(name) as file:
        content = file.read(reading.MAX_JSON_BYTES + 1)
    if len(content) > reading.MAX_JSON_BYTES:
        raise ValueError(f"{name} has more than {reading.MAX_JSON_BYTES >> 20} MiB")
    return content.decode("utf-8")


def load_history(folders: Iterable[Path]) -> list[tuple[Path, Result]]:
    """Read every result in folders and their archives, at any level, the oldest first.

    Each file is read once.

    Raises:
        ResultError: a file fails, or there is none in a folder.
        UsageError: one is no folder.
    """
    read: _Read = {}
    named: dict[Path, Path] = {}  # how a file was called first
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of earlier results, got a file")
        inside = (named.setdefault(path.resolve(), path) for path in folder.rglob("*"))
        _read_folder(folder, inside, read)
    return sorted(_told_once(read), key=lambda item: (str(item[1].get("measured_at", "")), item[0]))


def newest_results(results: Sequence[tuple[Path, Result]]) -> list[tuple[Path, Result]]:
    """The newest result of each model name, input size, target and machine, completed.

    Args:
        results: the oldest first.
    """
    newest: dict[str, tuple[Path, Result]] = {}
    for path, result in results:
        target = {key: result["target"].get(key) for key in SAME_MEASUREMENT}
        size = result["protocol"].get("input_shape")
        key = [result["model"]["name"], target, size, machine_fingerprint(result["machine"])]
        name = json.dumps(key, sort_keys=True)
        earlier = newest.get(name)
        newest[name] = (path, result if earlier is None else completed(result, earlier[1]))
    return list(newest.values())


def completed(result: Result, earlier: Result) -> Result:
    """``result``, with what only an earlier one of its file has of accuracy and sustained run.

    Whoever measures the speed again has not measured anything else anew.
    """
    if result["model"]["sha256"] != earlier["model"]["sha256"]:
        return result
    kept = {
        part: earlier[part]
        for part in ("accuracy", "sustained")
        if result.get(part) is None and earlier.get(part) is not None
    }
    return {**result, **kept}


def save_result(path: Path, result: Result, *, replace: bool = False) -> None:
    """Check ``result`` and write it whole or not at all.

    Args:
        replace: an earlier result of that name; by default a result that exists stays as it is.

    Raises:
        ResultError: it fails the schema, or there is a result already.
    """
    checked = check_result(result, name=str(path))
    if path.exists() and not replace:
        raise ResultError(f"{path}: there is a result already, and none is overwritten")
    write_json(path, checked)


def unlike_faces(accuracies: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Names of the facts that say the accuracies are not all of the same faces; () if they are."""

    def values(fact: str) -> set[str]:
        return {json.dumps(accuracy.get(fact)) for accuracy in accuracies}

    differ = [fact for fact in ACCURACY_FACTS if len(values(fact)) > 1]
    for fact in NEWER_ACCURACY_FACTS:
        versions = [value.rpartition(":")[0] for value in values(fact) - {"null"}]
        differ += [fact] if len(versions) > len(set(versions)) else []
    differ += [fact for fact in COMPARED_IN if len(values(fact) - {"null"}) > 1]
    # Kits that did not say how often they looked did so once, also in a detector's box.
    in_detected = [a.get("looks", 0) for a in accuracies if a.get("boxes") == "detector"]
    if 0 in in_detected and max(in_detected) > 1:
        differ.append("looks")
    return tuple(differ)


def fell_back(target: Mapping[str, Any]) -> bool:
    """Did a CPU run what an accelerator was asked for?

    Args:
        target: a result's ``target``.
    """
    ran_on = str(target["actual"]).rpartition(":")[2]
    return asks_for_accelerator(target) and ran_on in ON_CPU


def stands_in(target: Mapping[str, Any]) -> bool:
    """Did this machine's CPU stand in for the device, so that the times are not the device's?

    A software GPU does, and so does TFLM on a PC. Outputs and accuracy are right there.

    Args:
        target: a result's ``target``.
    """
    ran_on = str(target["actual"]).rpartition(":")[2]
    return ran_on == SOFTWARE or bool(target.get("software")) or target["delegate"] == TFLM


def asks_for_accelerator(target: Mapping[str, Any]) -> bool:
    """Was something else than a CPU asked for?

    The result says so (``accelerator``). One of an earlier version, or of the phone's app, does
    not: there ``MACHINE:cpu`` and ``cpu`` ask for a CPU, and so does a ``MACHINE`` without a kind,
    which ``MACHINE:cpu`` ran.
    """
    if "accelerator" in target:
        return bool(target["accelerator"])
    requested, actual = str(target["requested"]), str(target["actual"])
    return (
        requested.rpartition(":")[2] != NO_ACCELERATOR and actual != f"{requested}:{NO_ACCELERATOR}"
    )


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _bounded_int(digits: str) -> int:
    number = int(digits)
    if abs(number) > sys.float_info.max:
        raise ValueError("a number in it is too large")
    return number


def _refuse_infinite(value: Any, depth: int = 0) -> None:
    """A JSON number too large for a float is read as infinity, at any depth: refuse it."""
    if depth > MAX_DEPTH:  # whoever looks through it next would stumble over it, too
        raise ValueError("it is nested too deeply")
    items = value.values() if type(value) is dict else value if type(value) is list else (value,)
    # Thousands of samples are looked through without a step of Python for each.
    if math.inf in items or -math.inf in items:
        raise ValueError("a number in it is too large")
    for kind in {dict, list} & set(map(type, items)):
        for item in items:
            if type(item) is kind:
                _refuse_infinite(item, depth + 1)


def _shortened(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else f"{message[:limit]} ..."
