"""Whole runs through real readers, shards and architectures: the folder, and what is refused."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import DatasetError, KitError, ModelError, UsageError
from asmnet_kit.base.files import alone_in
from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Face, PictureFile
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.pictures import read_image
from asmnet_kit.face.shape_model.file import load_shape_model, save_shape_model
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.training import run as training_run
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data import augment, batches, sources
from asmnet_kit.training.devices import choose_strategy, precision
from asmnet_kit.training.run import TrainResult, fit_shape_model, resume, train
from wording import BUSY, NO_EPOCH


@pytest.fixture(scope="module")
def data(drawn_faces: Callable[..., Path]) -> Path:
    return drawn_faces(train=16, val=6, test=2)


def config_for(data: Path) -> TrainConfig:
    return TrainConfig(
        data=str(data),
        format="300w",
        arch="asmnet_nano",
        input_size=64,
        epochs=2,
        batch_size=8,
        asm_variance=0.8,
    )


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(config_for(data), tmp_path_factory.mktemp("runs") / "run", command="asmnet-kit")


# The run folder -----------------------------------------------------------------------------------


def test_a_finished_run_has_every_file_of_the_contract_and_no_copy_of_the_pictures(
    finished: TrainResult,
) -> None:
    names = {path.name for path in finished.run.iterdir()}
    assert names == {
        "manifest.json", "config.toml", "shape_model.npz", "model.keras", "history.csv",
        "curves.png", "checkpoints", "tensorboard",
    }  # fmt: skip
    assert {path.name for path in (finished.run / "checkpoints").iterdir()} == {
        "last.npz",
        "best.npz",
        "faces.npz",
    }


def test_the_curves_show_validation_faces_by_epoch(finished: TrainResult) -> None:
    """All six of them, in two rows: a third of the width, below 400 pixels of curves."""
    landmarks = np.load(finished.run / "checkpoints" / "faces.npz")["landmarks"]
    assert landmarks.shape == (2, 6, 68, 2)
    assert np.abs(landmarks).max() < 2  # fractions of the crop from its centre
    height, width, _ = read_image(finished.run / "curves.png").shape
    assert (width, 730 < height < 830) == (1000, True)


def test_the_manifest_says_where_the_model_came_from(finished: TrainResult, data: Path) -> None:
    manifest = json.loads((finished.run / "manifest.json").read_text())
    assert set(manifest) >= {
        "schema_version", "kit_version", "git_commit", "command", "seed", "started_at",
        "finished_at", "packages", "dataset", "architecture", "metrics", "licence",
    }  # fmt: skip
    assert manifest["dataset"]["counts"] == {"train": 16, "val": 6}
    assert manifest["dataset"]["sha256"] == load_dataset(data, "300w", split="train").fingerprint()
    assert manifest["architecture"]["name"] == "asmnet_nano"
    assert manifest["architecture"]["input_size"] == 64
    validation = manifest["metrics"]["validation"]
    assert validation["nme_percent"] == finished.evaluation.scores.nme_percent


def test_history_has_one_row_per_epoch_with_every_term(finished: TrainResult) -> None:
    with (finished.run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["alpha"] for row in rows] == ["2", "1"]  # Eq. 10 with two epochs
    for name in ("loss", "mse", "asm", "pose", "nme_percent", "val_nme_percent"):
        assert all(float(row[name]) > 0 for row in rows), name
    # The total is what the terms say: mse + alpha asm + pose / 2 (six digits are written).
    for row in rows:
        terms = {name: float(row[name]) for name in ("loss", "mse", "asm", "pose", "alpha")}
        expected = terms["mse"] + terms["alpha"] * terms["asm"] + 0.5 * terms["pose"]
        assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_an_epochs_validation_nme_is_what_evaluate_says_of_its_weights(
    finished: TrainResult, data: Path
) -> None:
    """On the original pictures; history.csv has six digits."""
    with (finished.run / "history.csv").open() as file:
        best = list(csv.DictReader(file))[finished.best_epoch - 1]
    measured = evaluate(open_predictor(finished.run), load_dataset(data, "300w", split="val"))
    assert float(best["val_nme_percent"]) == pytest.approx(measured.scores.nme_percent, rel=1e-5)


def test_the_saved_model_measures_what_the_run_said(finished: TrainResult, data: Path) -> None:
    val = load_dataset(data, "300w", split="val")
    for path in (finished.run, finished.run / "model.keras"):
        predictor = open_predictor(path)
        assert (predictor.input_size, predictor.scheme.points) == (64, 68)
        measured = evaluate(predictor, val).scores
        # The same weights, reloaded: float32 rounding alone.
        assert measured.nme_percent == pytest.approx(
            finished.evaluation.scores.nme_percent, rel=1e-5
        )


def test_the_shape_model_keeps_the_share_of_variance_asked_for(finished: TrainResult) -> None:
    model = load_shape_model(finished.run / "shape_model.npz")
    assert model.points == 68
    assert model.aligned
    assert model.explained_variance_ratio.sum() >= 0.8 - 1e-6


def test_a_truncated_keras_file_is_refused(finished: TrainResult, tmp_path: Path) -> None:
    path = tmp_path / "cut.keras"
    path.write_bytes((finished.run / "model.keras").read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"cut\.keras"):
        open_predictor(path)


# What is refused ----------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_refused_without_resume(
    finished: TrainResult, data: Path
) -> None:
    with pytest.raises(UsageError, match="already holds a run: continue it with --resume"):
        train(config_for(data), finished.run)


def test_a_folder_with_something_else_in_it_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="expected an empty or new folder"):
        train(config_for(data), tmp_path)


def test_resuming_with_other_settings_is_refused_and_names_them(
    finished: TrainResult, data: Path
) -> None:
    other = replace(config_for(data), epochs=5, learning_rate=0.01)
    with pytest.raises(
        UsageError, match=r"epochs: 2 in the run, 5 asked for; learning_rate: 0\.001"
    ):
        resume(finished.run, asdict(other))


def test_resuming_with_changed_data_is_refused(
    finished: TrainResult, data: Path, tmp_path: Path
) -> None:
    changed, run = tmp_path / "faces", tmp_path / "run"
    shutil.copytree(data, changed)
    shutil.copytree(finished.run, run)
    config = replace(config_for(data), data=str(changed))
    config.save(run / "config.toml")
    (changed / "train" / "face_000.pts").unlink()
    (changed / "train" / "face_000.jpg").unlink()
    with pytest.raises(UsageError, match="the training data differ from what"):
        resume(run)


@pytest.mark.parametrize("column", ["yaw", "split", "subset"])
def test_resuming_with_other_labels_is_refused(
    labelled_run: tuple[TrainConfig, Path], tmp_path: Path, column: str
) -> None:
    """Else the second half of the epochs would learn other poses, or from other subsets."""
    config, run = labelled_run
    data, copy = tmp_path / "faces", tmp_path / "run"
    shutil.copytree(config.data, data)
    shutil.copytree(run, copy)
    config = replace(config, data=str(data))
    config.save(copy / "config.toml")
    change = {"yaw": "7.5", "split": "other", "subset": "bright"}[column]
    with (data / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0][column] = change
    write_rows(data / "faces.csv", rows)
    expected = "files, sizes or landmarks" if column == "split" else "poses, splits, subsets"
    with pytest.raises(UsageError, match=f"the training.* data differ from what .*{expected}"):
        resume(copy)


def test_a_run_that_noted_no_labels_is_resumed(
    labelled_run: tuple[TrainConfig, Path], tmp_path: Path
) -> None:
    """An earlier version of the kit began it."""
    _, run = labelled_run
    shutil.copytree(run, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    for side in ("", "val_"):
        assert manifest["dataset"].pop(f"{side}labels_sha256").startswith("v1:")
    (tmp_path / "run/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(KitError, match=NO_EPOCH):
        resume(tmp_path / "run", max_minutes=1e-9)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def labelled_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path]:
    """A run on a CSV with poses, splits and subsets that stopped before its first epoch."""
    folder, rows = tmp_path_factory.mktemp("csv") / "faces", []
    for face in load_dataset(data, "300w", split="train").faces:
        target = folder / Path(face.name).name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(face.picture.read_encoded())
        rows.append(
            {"file": target.name, "yaw": "1", "pitch": "2", "roll": "3"}
            | {"split": "val" if len(rows) % 4 == 3 else "train", "subset": "dark"}
            | {
                f"{axis}{point}": f"{value:.2f}"
                for point, place in enumerate(face.landmarks)
                for axis, value in zip("xy", place, strict=True)
            }
        )
    write_rows(folder / "faces.csv", rows)
    config = replace(config_for(folder), format="csv")
    run = tmp_path_factory.mktemp("runs") / "labelled"
    stop_before_the_first_epoch(config, run)
    return config, run


def stop_before_the_first_epoch(config: TrainConfig, run: Path) -> None:
    with pytest.raises(KitError, match=NO_EPOCH):
        train(config, run, max_minutes=1e-9)


def unfinished_copy(finished: TrainResult, folder: Path) -> Path:
    """The run as it was before its manifest said that it is finished."""
    run = folder / "run"
    shutil.copytree(finished.run, run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"finished_at": None, "git_commit": "abc", "command": "asmnet-kit train --out run"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


def test_a_resumed_run_still_says_how_it_began(
    finished: TrainResult, data: Path, tmp_path: Path
) -> None:
    run = unfinished_copy(finished, tmp_path)
    resume(run, command="asmnet-kit train --resume --out run")
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["command"], manifest["git_commit"]) == ("asmnet-kit train --out run", "abc")
    (resumed,) = manifest["resumed"]
    assert resumed["command"] == "asmnet-kit train --resume --out run"
    assert manifest["finished_at"]


def test_a_finished_run_has_nothing_to_resume(
    finished: TrainResult, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.run.rglob("*")}
    again = resume(finished.run)
    assert (again.finished, again.epochs, again.best_epoch) == (
        True, finished.epochs, finished.best_epoch,
    )  # fmt: skip
    assert again.evaluation.scores.nme_percent == pytest.approx(
        finished.evaluation.scores.nme_percent, rel=1e-5
    )
    assert {path: path.stat().st_mtime_ns for path in finished.run.rglob("*")} == before
    assert "nothing is left to resume" in capsys.readouterr().err


def test_a_run_that_another_process_trains_is_left_alone(
    finished: TrainResult, data: Path, tmp_path: Path
) -> None:
    run = unfinished_copy(finished, tmp_path)
    before = (run / "manifest.json").read_bytes()
    with (
        alone_in(run),
        pytest.raises(UsageError, match=f"run: {BUSY}"),
    ):
        resume(run)
    assert (run / "manifest.json").read_bytes() == before


def test_nothing_to_resume_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        resume(tmp_path)


@pytest.mark.parametrize("how", ["split", "folder", "below"])
def test_training_on_a_test_set_is_refused(data: Path, how: str, tmp_path: Path) -> None:
    config = config_for(data)
    if how == "split":
        config = replace(config, split="test")
    else:
        config = replace(config, data=str(data / "test" / ("" if how == "folder" else "ytf")))
    with pytest.raises(UsageError, match="training on a test split is refused"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_without_a_complete_face_cannot_use_the_asm_loss(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "faces"
    shutil.copytree(data, copy)
    for path in copy.rglob("*.pts"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:3], "-1 -1", *lines[4:]]))
    with pytest.raises(DatasetError, match="train with --loss mse"):
        train(config_for(copy), tmp_path / "run")


def test_other_numbers_of_landmarks_than_the_data_has_are_refused(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="98 landmarks"):
        train(replace(config_for(data), points=98), tmp_path / "run")


def test_mixed_precision_without_a_gpu_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a GPU"), precision("mixed_float16"):
        pass


def test_multiworker_without_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        choose_strategy("multiworker")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 9999,
     '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
     '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}'],
)  # fmt: skip
def test_a_cluster_that_does_not_name_this_worker_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG") as refusal:
        choose_strategy("auto")
    assert len(str(refusal.value)) < 500


# Settings -----------------------------------------------------------------------------------------


def test_settings_survive_their_file(tmp_path: Path) -> None:
    config = replace(config_for(Path('/data/"quoted" \\ täst')), learning_rate=3e-4, seed=7)
    config.save(tmp_path / "config.toml")
    assert TrainConfig.load(tmp_path / "config.toml") == config


@pytest.mark.parametrize(
    "name", ["\U0001f600", "a\tb", 'say "hi"', "back\\slash", "\x7f", "täst", "\x01", "'"]
)
def test_a_path_of_any_characters_survives_the_settings_file(name: str, tmp_path: Path) -> None:
    config = config_for(tmp_path / name)
    config.save(tmp_path / "config.toml")
    assert TrainConfig.load(tmp_path / "config.toml") == config


def test_an_infinite_gradient_norm_survives_the_settings_file(tmp_path: Path) -> None:
    config = replace(config_for(tmp_path), gradient_norm=float("inf"))
    config.save(tmp_path / "config.toml")
    assert TrainConfig.load(tmp_path / "config.toml") == config


def test_a_path_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        config_for(Path(os.fsdecode(b"/faces/\xff"))).validated()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = 1\nformat = "300w"\n', "expected str for data, got 1"),
        ("unheard_of = 1\n", "unknown settings: unheard_of"),
        ("data = \n", "not TOML"),
        ('data = "x"\n', "no format in it"),
    ],
)
def test_a_settings_file_with_a_mistake_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        TrainConfig.load(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "resnet"}, "resnet"),
        ({"input_size": 100}, "100"),
        ({"alpha": "linear"}, "linear"),
        ({"loss": "mse", "alpha": "constant:1"}, "use --loss asm"),
        ({"val_share": 0.9}, "--val-share"),
        ({"learning_rate": -1.0}, "--learning-rate"),
        ({"warmup_epochs": 2.0}, "--warmup-epochs"),
        ({"epochs": 0}, "--epochs from 1, got 0"),
        ({"batch_size": 1}, "--batch-size from 2, got 1"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"strategy": "mirorred"}, "expected --strategy to be one of auto"),
        ({"precision": "fp16"}, "expected --precision to be one of auto"),
        ({"teacher": "t.npz", "teacher_share": "a=5"}, "--teacher-share .* from 0 to 1"),
        ({"seed": -1}, "expected --seed from 0 to 4294967295, got -1"),
        ({"seed": 5_000_000_000}, "--seed"),
        ({"epochs": 1, "warmup_epochs": -5.0}, "--warmup-epochs"),
        ({"epochs": 1, "warmup_epochs": float("inf")}, "--warmup-epochs"),
        ({"fill_weight": 0.5}, "--fill-weight needs --teacher"),
        ({"val_data": "v", "val_share": 0.3}, "--val-share needs no --val-data"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    change: dict[str, object], message: str, data: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        replace(config_for(data), **change).validated()


# Which faces --------------------------------------------------------------------------------------


def test_a_folder_without_splits_holds_pictures_out_by_seed(
    drawn_faces: Callable[..., Path],
) -> None:
    config = replace(config_for(drawn_faces(20)), val_share=0.2)
    chosen = sources.choose_sources(config)
    names = [{face.name for face in side.faces} for side in (chosen.train, chosen.val)]
    assert (len(names[0]), len(names[1])) == (16, 4)
    assert not names[0] & names[1]
    again, other = (sources.choose_sources(replace(config, seed=seed)) for seed in (0, 1))
    assert {face.name for face in again.val.faces} == names[1]
    assert {face.name for face in other.val.faces} != names[1]


def test_faces_of_one_picture_and_its_mirror_stay_on_one_side(data: Path) -> None:
    dataset = load_dataset(data, "300w", split="train")
    landmarks = dataset.faces[0].landmarks
    names = ["a.jpg#1", "a.jpg#2", "a_mirror.jpg", "b.jpg", "c.jpg", "d.jpg"]
    faces = tuple(Face(name, PictureFile(Path(name)), landmarks) for name in names)
    for seed in range(8):
        split = sources.hold_out(replace(dataset, faces=faces), share=0.25, seed=seed)
        sides = [{face.name[0] for face in side.faces} for side in (split.train, split.val)]
        assert not sides[0] & sides[1]


def test_pictures_that_300w_lp_made_from_one_photograph_stay_together(data: Path) -> None:
    face = load_dataset(data, "300w", split="train").faces[0]
    views = ["AFW/AFW_134212_1_0.jpg", "AFW/AFW_134212_1_17.jpg", "AFW_Flip/AFW_134212_1_3.jpg"]
    made_from = {sources.photograph_of(replace(face, name=name), ["300w_lp"]) for name in views}
    assert made_from == {"AFW/AFW_134212_1.jpg"}


def test_frames_of_a_clip_stay_on_one_side(data: Path) -> None:
    dataset = load_dataset(data, "300w", split="train")
    landmarks = dataset.faces[0].landmarks
    names = [f"{who}_1{frame}.jpg" for who in "abcdefgh" for frame in range(3)]
    faces = tuple(Face(name, PictureFile(Path(name)), landmarks, ("v",)) for name in names)
    faced = replace(dataset, faces=faces)
    for seed in range(4):
        split = sources.hold_out(faced, share=0.25, seed=seed, clips=["v"])
        sides = [{face.name[0] for face in side.faces} for side in (split.train, split.val)]
        assert (len(sides[0]), len(sides[1])) == (6, 2) and not sides[0] & sides[1]


def test_validation_faces_that_are_trained_on_are_refused(drawn_faces: Callable[..., Path]) -> None:
    folder = drawn_faces(4)
    (folder.parent / "link").symlink_to(folder)
    for val_data in (folder, folder.parent / "link"):
        with pytest.raises(UsageError, match="4 of its 4 faces are trained on"):
            sources.choose_sources(replace(config_for(folder), val_data=str(val_data)))


def shared_csv(labelled_run: tuple[TrainConfig, Path], folder: Path, splits: list[str]) -> Path:
    """The faces of a CSV once more, face n in the split ``splits[n]``; ``a+b``: in both."""
    data = Path(labelled_run[0].data)
    shutil.copytree(data, folder)
    with (folder / "faces.csv").open() as file:
        rows = list(csv.DictReader(file))
    named = zip(rows, splits, strict=False)
    write_rows(
        folder / "faces.csv",
        [row | {"split": split} for row, both in named for split in both.split("+")],
    )
    return folder


@pytest.mark.parametrize("other", ["val", "test"])
def test_a_picture_in_two_splits_is_told(
    other: str, labelled_run: tuple[TrainConfig, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """By its own name; copies under another one are another warning."""
    splits = [f"train+{other}", "train", "train", "train", "val", "test"]
    folder = shared_csv(labelled_run, tmp_path / "csv", splits)
    sources.choose_sources(replace(labelled_run[0], data=str(folder)))
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("warning: 1 of the 2 faces")
    assert f"face_000.jpg among them: {'the validation NME' if other == 'val' else 'eval'}" in said
    assert "another name" not in said and said.count("warning") == 1
    inspected = CliRunner().invoke(
        main, ["data", "inspect", "--data", str(folder), "--format", "csv", "--json"]
    )
    (shared,) = json.loads(inspected.stdout)["in_several_splits"]
    assert shared == {"picture": "face_000.jpg", "splits": sorted(["train", other])}


@pytest.mark.parametrize("split", ["", "train"])
def test_faces_of_no_split_that_are_not_used_are_told(
    split: str, labelled_run: tuple[TrainConfig, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Not where the split was asked for."""
    folder = shared_csv(labelled_run, tmp_path / "csv", ["train", "", "", "train", "val"])
    config = replace(labelled_run[0], data=str(folder), split=split)
    assert len(sources.choose_sources(config).train.faces) == 2
    told = "2 of the 5 faces are in no split and are not used" in capsys.readouterr().err
    assert told == (split == "")


@pytest.mark.parametrize("where", ["test", "test/set", "", "split"])
def test_validating_on_a_test_set_is_refused(where: str, drawn_faces: Callable[..., Path]) -> None:
    """By its folder or the one above, or because a folder has test faces and no split val."""
    train_on = drawn_faces(4)
    folder = drawn_faces(test=3, train=2) / where if where != "split" else drawn_faces(test=3)
    if where == "test/set":
        files = list(folder.parent.iterdir())
        folder.mkdir()
        for file in files:
            file.rename(folder / file.name)
    config = replace(config_for(train_on), val_data=str(folder))
    with pytest.raises(UsageError, match="--val-data") as refused:
        sources.choose_sources(config)
    assert str(folder) in str(refused.value)
    assert "test" in str(refused.value)


def test_one_picture_cannot_be_held_out(drawn_faces: Callable[..., Path]) -> None:
    config = config_for(drawn_faces(1))
    with pytest.raises(KitError, match="give --val-data"):
        sources.choose_sources(config)
    with pytest.raises(KitError, match="got 1: add pictures"):
        sources.choose_sources(config, advice="add pictures")


def test_val_data_wins_over_the_split_val(data: Path, drawn_faces: Callable[..., Path]) -> None:
    config = replace(config_for(data), val_data=str(drawn_faces(3)))
    assert len(sources.choose_sources(config).val.faces) == 3


def test_shapes_are_as_plausible_whatever_the_scale_of_their_crops(
    data: Path, tmp_path: Path
) -> None:
    faces = load_dataset(data, "300w", split="train")
    shapes = np.stack([face.landmarks for face in faces.faces])
    found = []
    for crop_scale in (1.2, 2.0):
        settings = TrainConfig(data="", format="300w", asm_aligned=False, crop_scale=crop_scale)
        model = fit_shape_model(faces, settings)
        assert model is not None
        save_shape_model(model, tmp_path / "shape_model.npz")
        found.append(load_shape_model(tmp_path / "shape_model.npz").plausibility(shapes))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_the_shape_model_of_very_many_faces_is_of_some_of_them(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faces, settings = load_dataset(data, "300w", split="train"), config_for(data)
    expected = fit_shape_model(replace(faces, faces=faces.faces[::3]), settings)
    monkeypatch.setattr(training_run, "MOST_SHAPES", 6)
    found = fit_shape_model(faces, settings)
    assert expected is not None and found is not None
    np.testing.assert_array_equal(found.mean, expected.mean)
    assert "Shape model: of one in 3 of 16 faces" in capsys.readouterr().err


# Mirrored pictures --------------------------------------------------------------------------------

ONE_SIDE = '[from]\nscheme = "68"\npoints = [17, 19, 21, 36, 37, 38, 39, 40, 41, 27, 30, 33, 48]'
SCHEMES = {
    "half": f'name = "half"\nmirror = []\nnormaliser = "box"\n{ONE_SIDE}\n',
    "eyes": 'name = "eyes"\nnormaliser = [0, 1]\n[from]\nscheme = "68"\npoints = [36, 45, 30]\n',
    "own": 'name = "own"\npoints = 68\nnormaliser = [36, 45]\n',
    "jaw": 'name = "jaw"\npoints = 68\nnormaliser = [36, 45]\nparts.jaw.points = [0, 1, 2, 3, 4]\n',
}


@pytest.fixture
def mirrorings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Gets for each picture that a run shows whether it was mirrored."""
    seen: list[bool] = []

    def draw(*arguments: Any) -> augment.CropTransform:
        drawn = augment.draw_transform(*arguments)
        seen.append(drawn.flipped)
        return drawn

    monkeypatch.setattr(batches, "draw_transform", draw)
    return seen


@pytest.mark.parametrize(
    ("scheme", "mirrors", "told"),
    [
        ("half", False, "Pictures are not mirrored: the scheme half has points of one side"),
        (
            "jaw",
            False,
            "the scheme jaw names no mirror pairs, though its jaw goes from side to side",
        ),
        ("eyes", True, ""),
        ("own", True, "each point as its own mirror image: the scheme own names no mirror pairs"),
    ],
)
def test_pictures_are_mirrored_unless_the_scheme_is_of_one_side(
    scheme: str, mirrors: bool, told: str, labelled_run: tuple[TrainConfig, Path], tmp_path: Path,
    mirrorings: list[bool], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / f"{scheme}.toml"
    file.write_text(SCHEMES[scheme])
    config, _ = labelled_run
    config = replace(config, scheme=str(file), loss="mse", epochs=1, batch_size=4)
    train(config, tmp_path / "run")
    assert len(mirrorings) >= 12 and any(mirrorings) == mirrors
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["mirrors_pictures"] == mirrors
    said = " ".join(capsys.readouterr().err.split())
    assert told in said and ("mirrored" in said) == bool(told)


def test_a_run_that_mirrored_pictures_of_one_side_goes_on_so(
    data: Path, tmp_path: Path, mirrorings: list[bool]
) -> None:
    """An earlier version of the kit began it: it ends as it would have ended."""
    (tmp_path / "half.toml").write_text(SCHEMES["half"])
    config = replace(config_for(data), scheme=str(tmp_path / "half.toml"), loss="mse", epochs=1)
    stop_before_the_first_epoch(config, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest.pop("mirrors_pictures") is False
    (tmp_path / "run/manifest.json").write_text(json.dumps(manifest))
    mirrorings.clear()
    resume(tmp_path / "run")
    assert any(mirrorings)
