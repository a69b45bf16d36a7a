"""``train --data people --format people`` from the outside: new people in each epoch, no folder."""

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.people import fixed_sets
from asmnet_kit.people.render import pose_of
from asmnet_kit.people.workers import RenderWorkers, Sitting
from asmnet_kit.people.write import PEOPLE as RENDERER
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import NO_AUGMENTATION
from asmnet_kit.training.data.batches import targets_of
from asmnet_kit.training.data.people import PeopleStream
from asmnet_kit.training.data.people_batches import PeopleBatches
from asmnet_kit.training.fit.monitor import RunMonitor
from wording import DRAWING_ENDED, NO_EPOCH, VALIDATION_NME

PEOPLE = ("--data", "people", "--format", "people")
SMALL = (
    *("--faces-per-epoch", "20", "--seed", "3", "--arch", "asmnet_nano", "--input-size", "64"),
    *("--batch-size", "8", "--epochs", "2", "--asm-variance", "0.8"),
)


def kit(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def manifest_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "people"
    result = kit("train", *PEOPLE, *SMALL, "--out", run)
    assert result.exit_code == 0, result.output
    assert VALIDATION_NME in result.stdout
    assert "--data people --format people --recipe" in result.stderr  # what to do next
    assert multiprocessing.active_children() == []
    return run


def test_the_manifest_says_all_that_the_people_depend_on(finished: Path) -> None:
    """20 an epoch, a tenth of them to validate on; 64-pixel crops come from 73 pixels."""
    dataset = manifest_of(finished)["dataset"]
    assert dataset["people"] == {
        "kind": "people",
        "renderer": RENDERER.version,
        "seed": 3,
        "size": 73,
        "faces_per_epoch": 20,
    }
    assert (dataset["format"], dataset["counts"]) == ("people", {"train": 20, "val": 2})
    assert manifest_of(finished)["metrics"]["validation"]["pose_source"] == "labels"
    assert not (finished / "records").exists()


def test_a_training_stopped_by_ctrl_c_resumes_to_the_weights_of_an_undisturbed_one(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:

        def stop(monitor: RunMonitor, history: Sequence[object]) -> None:
            raise KeyboardInterrupt

        patch.setattr(RunMonitor, "on_epoch_end", stop)
        stopped = kit("train", *PEOPLE, *SMALL, "--out", run)
    assert stopped.exit_code == 130, stopped.output
    assert multiprocessing.active_children() == []
    resumed = kit("train", "--resume", "--data", "people", "--out", run)
    assert resumed.exit_code == 0, resumed.output
    one, other = (np.load(folder / "checkpoints" / "last.npz") for folder in (run, finished))
    assert one.files == other.files
    for name in one.files:
        if name != "history":  # which holds timings
            np.testing.assert_array_equal(one[name], other[name])
    rows, others = (history_of(folder) for folder in (run, finished))
    assert rows == others


def history_of(run: Path) -> list[dict[str, str]]:
    """Without the columns that hold timings."""
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    timings = ("pictures_per_s", "data_wait_percent")
    return [{k: v for k, v in row.items() if k not in timings} for row in rows]


def test_another_renderer_does_not_go_on_with_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws other people of the same seed."""
    run = tmp_path / "run"
    begun = kit("train", *PEOPLE, *SMALL, "--max-minutes", "0", "--out", run)
    assert begun.exit_code == 1 and NO_EPOCH in begun.stderr
    manifest = manifest_of(run)
    manifest["dataset"]["sha256"] = "of an earlier version"
    (run / "manifest.json").write_text(json.dumps(manifest))
    resumed = kit("train", "--resume", "--out", run)
    assert resumed.exit_code == 2, resumed.output
    assert "--data people: the training data differ" in resumed.stderr
    assert "use the same version, or start a new run" in resumed.stderr


def test_a_run_of_a_version_without_visibility_goes_on(tmp_path: Path) -> None:
    """It noted less of the labels, which are the same, and knew none of the settings."""
    run = tmp_path / "run"
    begun = kit("train", *PEOPLE, *SMALL, "--max-minutes", "0", "--out", run)
    assert begun.exit_code == 1 and NO_EPOCH in begun.stderr
    manifest = manifest_of(run)
    for side in ("", "val_"):
        assert manifest["dataset"][f"{side}labels_sha256"].startswith("v2:")
        manifest["dataset"][f"{side}labels_sha256"] = "v1:of what was noted then"
    (run / "manifest.json").write_text(json.dumps(manifest))
    settings = (run / "config.toml").read_text().splitlines()
    names = ("uncertainty", "likelihood", "visibility")
    kept = [line for line in settings if not line.startswith(names)]
    assert len(settings) - len(kept) == 7
    (run / "config.toml").write_text("\n".join(kept) + "\n")
    resumed = kit("train", "--resume", "--out", run)
    assert resumed.exit_code == 0, resumed.output
    assert VALIDATION_NME in resumed.stdout
    assert manifest_of(run)["metrics"]["validation"]["uncertainty"] is None
    changed = kit("train", "--resume", "--uncertainty", "--out", run)
    assert changed.exit_code == 2, changed.output
    assert "uncertainty: False in the run, True asked for" in changed.stderr


def test_a_run_on_people_learns_what_can_be_seen_of_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    once = (*SMALL, "--epochs", "1", "--loss", "smooth_l1")
    result = kit("train", *PEOPLE, *once, "--uncertainty", "--visibility", "--out", run)
    assert result.exit_code == 0, result.output
    (row,) = history_of(run)
    # Before much is learnt: one half for every point, ln 2 nats; 0 if no mark had come along.
    assert 0.2 < float(row["visibility"]) < 0.9
    manifest = manifest_of(run)["dataset"]
    assert manifest["labels_sha256"].startswith("v2:")
    measured = manifest_of(run)["metrics"]["validation"]["visibility"]
    # Two people to validate on, of whom some of the 136 points are hidden.
    assert measured["points"] == 136 and 0 < measured["hidden"] < 136


def test_people_are_validated_on_a_folder_of_its_own_format(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    run, folder = tmp_path / "run", drawn_faces(3)
    options = (*PEOPLE, *SMALL, "--val-data", folder, "--max-minutes", "0", "--out", run)
    unsaid = kit("train", *options)
    assert unsaid.exit_code == 2
    assert "expected --val-format" in unsaid.stderr
    begun = kit("train", *options, "--val-format", "300w")
    assert begun.exit_code == 1 and NO_EPOCH in begun.stderr
    assert manifest_of(run)["dataset"]["counts"] == {"train": 20, "val": 3}


def test_the_run_is_quantized_on_people(finished: Path, tmp_path: Path) -> None:
    options = ("--recipe", "ptq_w8a8", "--calibration-faces", "8", "--json")
    result = kit("quantize", finished, *PEOPLE, *options, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["validated_on"] == "2 people that no run is trained on"
    validation = manifest_of(finished)["metrics"]["validation"]
    assert report["float_nme_percent"] == pytest.approx(validation["nme_percent"], rel=1e-5)
    assert "may be among the validation faces" not in result.stderr


def test_the_run_is_measured_on_people(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_sets, "MEASURED", 3)
    fixed_sets.people_to_measure_on.cache_clear()
    result = kit("evaluate", finished, *PEOPLE, "--json")
    fixed_sets.people_to_measure_on.cache_clear()
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["faces"], report["split"], report["pose_source"]) == (3, "test", "labels")


# Batches ------------------------------------------------------------------------------------------


class Batches:
    """Six people an epoch in batches of two, of 98 points."""

    STREAM = PeopleStream(Sitting(seed=3, size=73, points=98), faces_per_epoch=7)

    def __init__(self, workers: int) -> None:
        self.workers = RenderWorkers(self.STREAM.sitting, workers=workers)
        faces = tuple(self.STREAM.sitting.face(number) for number in range(2))
        known = Dataset("people", "people", scheme_of(98), faces)
        self.batches = PeopleBatches(
            self.STREAM, known, self.workers, size=64, batch_size=2, seed=3, ranges=NO_AUGMENTATION,
            crop_scale=1.2,
        )  # fmt: skip

    def epoch(self, index: int, replicas: range = range(1), count: int = 1) -> list[Any]:
        data = self.batches.epoch(index, replicas=replicas, replica_count=count)
        return list(data.as_numpy_iterator())


def test_an_epoch_is_of_new_people_with_exact_labels_whoever_draws_them() -> None:
    """Epoch e is people 7 e to 7 e + 5; the seventh would be a batch of one."""
    two, one = Batches(workers=2), Batches(workers=1)
    with two.workers, one.workers:
        for epoch, batches in [(index, two.epoch(index)) for index in (0, 1)]:
            numbers = range(7 * epoch, 7 * epoch + 6)
            poses = np.concatenate([batch["pose"] for batch in batches])
            exact = [pose_of(3, number) for number in numbers]
            np.testing.assert_allclose(poses, exact, atol=1e-5)  # degrees; float32 of up to 180
        faces = [two.STREAM.sitting.face(number) for number in numbers]
        targets = targets_of(faces, scheme_of(98))
        upright = np.concatenate([batch["upright"] for batch in batches])
        np.testing.assert_array_equal(upright, targets.upright)
        visibility = np.concatenate([batch["visibility"] for batch in batches])
        np.testing.assert_array_equal(visibility, targets.visibility)
        assert set(np.unique(visibility)) == {0, 1}
        # A resumed run begins with the second epoch.
        for batch, again in zip(batches, one.epoch(1), strict=True):
            for name in batch:
                np.testing.assert_array_equal(batch[name], again[name])
        # And each of two machines draws its share alone.
        other = one.epoch(1, range(1, 2), 2)
        for batch, share in zip(batches, other, strict=True):
            np.testing.assert_array_equal(batch["image"][1:], share["image"])


def test_a_drawing_process_that_dies_is_told_as_the_reason() -> None:
    people = Batches(workers=1)
    with people.workers:
        for process in multiprocessing.active_children():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(tf.errors.OpError):
            people.epoch(0)
        assert isinstance(people.batches.failure, KitError)
        assert DRAWING_ENDED in str(people.batches.failure)


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PEOPLE,), "expected --faces-per-epoch from 1"),
        ((*PEOPLE, "--faces-per-epoch", "0"), "--faces-per-epoch"),
        ((*PEOPLE, "--faces-per-epoch", "-5"), "--faces-per-epoch"),
        (("--format", "people", "--data", "{folder}", "--faces-per-epoch", "9"), "--data people"),
        (("--data", "{folder}", "--format", "300w", "--faces-per-epoch", "9"), "--format people"),
        ((*PEOPLE, "--faces-per-epoch", "50", "--split", "train"), "--split is for faces of a"),
        ((*PEOPLE, "--faces-per-epoch", "50", "--sampling", "a=2"), "--sampling is for faces"),
        ((*PEOPLE, "--faces-per-epoch", "50", "--clips", "a"), "--clips is for faces of a"),
        ((*PEOPLE, "--faces-per-epoch", "50", "--teacher", "{folder}"), "--teacher is for"),
        (
            (*PEOPLE, "--faces-per-epoch", "50", "--visibility", "--visibility-subsets", "a"),
            "--visibility-subsets is for faces of a",
        ),
        ((*PEOPLE, "--faces-per-epoch", "4"), "4 x 0.1, less than one"),
        ((*PEOPLE, "--faces-per-epoch", "2000000000"), "at most 2147483648 people"),
        ((*PEOPLE, "--faces-per-epoch", "50", "--val-format", "csv"), "--val-format needs"),
        (
            (
                *PEOPLE,
                "--faces-per-epoch",
                "50",
                "--val-data",
                "{folder}",
                "--val-format",
                "people",
            ),
            "expected the --val-format of a folder",
        ),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    filled = [argument.format(folder=folder) for argument in arguments]
    result = kit("train", *filled, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_recipe_cannot_name_the_format_of_validation_data(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[train]\nval_format = "csv"\n')
    result = kit("train", *PEOPLE, "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "belong to the command, as --val-format" in result.stderr


def test_settings_of_people_survive_their_file(tmp_path: Path) -> None:
    config = TrainConfig(data="people", format="people", faces_per_epoch=50).validated()
    config.save(tmp_path / "config.toml")
    assert TrainConfig.load(tmp_path / "config.toml") == config
    assert config.places() == {}
    with pytest.raises(UsageError, match="got none"):
        TrainConfig(data="people", format="people").validated()
