"""``asmnet-kit train`` from the outside: what it prints, its exit codes, and being killed."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import UsageError
from asmnet_kit.cli import main
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.pictures import Image
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.quantize.source.float_model import open_float_model
from asmnet_kit.tflite.metadata import read_metadata, with_metadata
from asmnet_kit.training import devices, supervised
from asmnet_kit.training import run as run_module
from asmnet_kit.training.command import LOSSES, configuration
from asmnet_kit.training.config import TrainConfig, strategy_to_resume
from asmnet_kit.training.data import batches
from asmnet_kit.training.data.augment import change_pixels
from asmnet_kit.training.job import Job
from asmnet_kit.training.loss.losses import LOSSES as LOSS_KINDS
from asmnet_kit.training.manifest import crop_scale_of_start
from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.start_weights import units
from wording import SETTINGS_STAY, VALIDATION_NME

SMALL = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "8", "--epochs", "4")


@pytest.fixture(scope="module")
def data(drawn_faces: Callable[..., Path]) -> Path:
    return drawn_faces(train=16, val=4)


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_the_losses_offered_are_those_there_are() -> None:
    assert set(LOSSES) == set(LOSS_KINDS)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_resumes_to_the_weights_of_an_undisturbed_one(
    data: Path, tmp_path: Path
) -> None:
    source = ("--data", str(data), "--format", "300w", *SMALL, "--sampling", "1.5")
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, "-m", "asmnet_kit", "train", *source, "--out", str(killed)]
    log = tmp_path / "killed.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    checkpoint = killed / "checkpoints" / "last.npz"
    deadline = time.monotonic() + 300
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, log.read_text()

    resumed = train("--resume", "--out", killed)
    assert resumed.exit_code == 0, resumed.output
    whole = train(*source, "--out", undisturbed)
    assert whole.exit_code == 0, whole.output
    assert resumed.stdout == whole.stdout  # the validation figures
    assert VALIDATION_NME in whole.stdout
    assert "Next: asmnet-kit quantize" in whole.stderr
    one, other = (np.load(run / "checkpoints" / "last.npz") for run in (killed, undisturbed))
    assert one.files == other.files
    for name in one.files:
        if name != "history":  # which holds timings
            np.testing.assert_array_equal(one[name], other[name])


def test_oversampling_shows_different_pictures_of_a_face(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 faces of weight 3 for one epoch: 48 pictures, no two of them alike."""
    shown: list[bytes] = []

    def recorded(*arguments: object) -> Image:
        picture = change_pixels(*arguments)
        shown.append(picture.tobytes())
        return picture

    monkeypatch.setattr(batches, "change_pixels", recorded)
    source = ("--data", data, "--format", "300w", *SMALL, "--epochs", "1", "--sampling", "3")
    result = train(*source, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert len(shown) == len(set(shown)) == 48


def test_a_run_learns_how_sure_it_is_when_asked(data: Path, tmp_path: Path) -> None:
    source = ("--data", data, "--format", "300w", *SMALL, "--epochs", "1")
    run = tmp_path / "run"
    options = ("--uncertainty", "--likelihood", "gaussian", "--likelihood-gradient", "bounded")
    result = train(*source, *options, "--likelihood-weight", "0.2", "--out", run)
    assert result.exit_code == 0, result.output
    assert "uncertainty" in (run / "history.csv").read_text().splitlines()[0].split(",")
    model = open_float_model(run, mean=None, scale=None).model
    assert model.output_shape["uncertainty"] == (None, 68)
    settings = TrainConfig.load(run / "config.toml")
    assert (settings.likelihood, settings.likelihood_gradient) == ("gaussian", "bounded")
    assert settings.likelihood_weight == 0.2


def test_a_run_keeps_the_crop_of_the_weights_it_starts_from(data: Path, tmp_path: Path) -> None:
    source = ("--data", data, "--format", "300w", *SMALL, "--epochs", "1")

    def crop_of(run: Path, *options: object) -> tuple[float, str]:
        result = train(*source, *options, "--out", run)
        assert result.exit_code == 0, result.output
        manifest = json.loads((run / "manifest.json").read_text())
        assert TrainConfig.load(run / "config.toml").crop_scale == manifest["crop_scale"]
        return manifest["crop_scale"], " ".join(result.stderr.split())

    first, inherited = tmp_path / "first", tmp_path / "inherited"
    assert crop_of(first, "--crop-scale", 1.4)[0] == 1.4
    scale, told = crop_of(inherited, "--init-from", first)
    assert scale == 1.4 and f"Crop scale 1.4, as {first} was trained with" in told
    given = {"data": str(data), "format": "300w", "init_from": str(first)}
    assert configuration(given).crop_scale == 1.4
    assert configuration({**given, "crop_scale": CROP_SCALE}).crop_scale == CROP_SCALE


def as_worker(index: int, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Be one of two workers; the jobs that would be supervised."""
    task = {"type": "worker", "index": index}
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    jobs: list[Job] = []
    monkeypatch.setattr(supervised, "supervise", lambda job, **_: jobs.append(job) or 0)
    return jobs


def test_a_resuming_worker_does_not_look_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old run there says nothing of the chief's."""
    for strategy in ("none", "nonsense"):
        text = f'data = "faces"\nformat = "300w"\nstrategy = "{strategy}"\n'
        (tmp_path / "config.toml").write_text(text)
        jobs = as_worker(1, monkeypatch)
        asked = train("--resume", "--out", tmp_path)
        assert asked.exit_code == 0 and len(jobs) == 1, asked.output
        assert strategy_to_resume(tmp_path, {}) == "auto"
        assert strategy_to_resume(tmp_path, {"strategy": "none"}) == "none"


def test_how_to_go_on_speaks_of_a_checkpoint_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = as_worker(0, monkeypatch)
    train("--data", tmp_path, "--format", "300w", "--out", tmp_path)
    train("--resume", "--out", tmp_path)
    assert [job.advice for job in jobs] == 2 * ["Start every worker again"]
    (tmp_path / "config.toml").write_text('data = "faces"\nformat = "300w"\n')
    assert {job.advice for job in jobs} == {
        "Start every worker again with --resume; no epoch was finished yet"
    }
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.npz").touch()
    assert {job.advice for job in jobs} == {
        "Start every worker again with --resume: the last epoch's checkpoint is intact"
    }


@pytest.mark.parametrize("start", ["/chiefs/first", "first", None])
def test_a_worker_needs_no_weights_to_start_from_to_learn_their_crop(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str | None
) -> None:
    """The chief's --init-from says the crop; a worker may lack the file, or not know of it."""
    jobs = as_worker(1, monkeypatch)
    options = ("--data", data, "--format", "300w", *(("--init-from", start) if start else ()))
    asked = train(*options, "--out", tmp_path / "run")
    assert asked.exit_code == 0, asked.output
    (job,) = (Job.from_json(json.loads(json.dumps(job.to_json()))) for job in jobs)
    chief = {"data": str(data), "format": "300w", "init_from": "/chiefs/first", "crop_scale": 1.4}
    told = dataclasses.asdict(TrainConfig(**chief))
    used = {}

    class FromChief(devices.Workers):
        is_chief, count = False, 2

        def __init__(self, strategy: object) -> None:
            pass

        def from_chief(self, decide: Callable[[], object]) -> object:
            return told

    monkeypatch.setattr(run_module, "Workers", FromChief)
    monkeypatch.setattr(run_module, "choose_strategy", lambda name: None)
    monkeypatch.setattr(run_module, "_train", lambda config, *_, **__: used.update(vars(config)))
    run_module.train(job.config, job.run, left_open=job.left_open)
    assert used["crop_scale"] == 1.4
    with pytest.raises(UsageError, match="crop_scale: 1"):
        run_module.train(dataclasses.replace(job.config, crop_scale=1.2), job.run)


def test_a_tflite_of_the_kit_says_its_crop_as_a_start(
    make_tflite: Callable[..., Path], make_op_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_tflite()
    own = dataclasses.replace(read_metadata(path), crop_scale=1.5)
    path.write_bytes(with_metadata(path.read_bytes(), own))
    assert crop_scale_of_start(path) == 1.5
    shape = (1, 8, 8, 4)
    assert crop_scale_of_start(make_op_model({"op": "RELU", "into": shape, "shape": shape})) is None
    assert crop_scale_of_start(tmp_path / "missing.tflite") is None


def test_uncertainty_is_added_to_a_model_whose_landmarks_stay(data: Path, tmp_path: Path) -> None:
    source = ("--data", data, "--format", "300w", *SMALL)
    before, after = tmp_path / "before", tmp_path / "after"
    assert train(*source, "--epochs", "1", "--out", before).exit_code == 0
    options = ("--uncertainty", "--keep-landmarks", "--init-from", before)
    result = train(
        *source, "--loss", "smooth_l1", "--learning-rate", "0.02", *options, "--out", after
    )
    assert result.exit_code == 0, result.output
    crops = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    old, new = (open_predictor(run).predict(crops) for run in (before, after))
    np.testing.assert_array_equal(new.landmarks, old.landmarks)
    np.testing.assert_array_equal(new.pose, old.pose)
    rows = [row.split(",") for row in (after / "history.csv").read_text().splitlines()]
    learnt = [float(row[rows[0].index("uncertainty")]) for row in rows[1:]]
    assert learnt[-1] < learnt[0]
    larger = ("--arch", "asmnet_plus", "--loss", "smooth_l1")
    result = train(*source, *larger, *options, "--epochs", "1", "--out", tmp_path / "other")
    assert result.exit_code == 2
    assert "has no weights that fit" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep-landmarks",), "--keep-landmarks needs --uncertainty or --visibility"),
        (("--keep-landmarks", "--uncertainty"), "--keep-landmarks needs --init-from"),
    ],
)
def test_keeping_landmarks_without_anything_to_keep_or_learn_is_refused(
    options: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    result = train("--data", data, "--format", "300w", *SMALL, *options, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert message in result.stderr


def test_settings_of_an_uncertainty_that_is_not_trained_are_refused(
    data: Path, tmp_path: Path
) -> None:
    source = ("--data", data, "--format", "300w", *SMALL, "--out", tmp_path / "run")
    result = train(*source, "--likelihood", "gaussian")
    assert result.exit_code == 2
    assert "--likelihood needs --uncertainty" in result.stderr


def test_a_run_learns_what_can_be_seen_of_people(tmp_path: Path) -> None:
    people = tmp_path / "people"
    words = ("data", "synthesize", "--kind", "people", "--count", 14, "--size", 64, "--out", people)
    made = CliRunner().invoke(main, [str(word) for word in words])
    assert made.exit_code == 0, made.output
    run = tmp_path / "run"
    source = ("--data", people, "--format", "synthetic", *SMALL, "--epochs", "1", "--out", run)
    result = train(
        *source, "--loss", "smooth_l1", "--uncertainty", "--visibility", "--pose-weight", "2"
    )
    assert result.exit_code == 0, result.output
    columns, values = ((run / "history.csv").read_text().splitlines())[:2]
    row = dict(zip(columns.split(","), map(float, values.split(",")), strict=True))
    # Before much is learnt: one half for every point, ln 2 nats.
    assert 0.2 < row["visibility"] < 0.9
    expected = row["landmark"] + 2 * row["pose"] + 0.1 * (row["uncertainty"] + row["visibility"])
    assert row["loss"] == pytest.approx(expected, rel=1e-4)


def test_visibility_cannot_be_learnt_from_data_that_knows_nothing_of_it(
    data: Path, tmp_path: Path
) -> None:
    result = train("--data", data, "--format", "300w", *SMALL, "--visibility", "--out", tmp_path)
    assert result.exit_code == 2
    assert "no training face says which points can be seen" in result.stderr
    assert not any(tmp_path.iterdir())


def test_a_smaller_crop_is_trained_on_measured_with_and_carried_into_the_file(
    data: Path, tmp_path: Path
) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    source = ("--data", data, "--format", "300w")
    result = train(*source, *SMALL, "--crop-scale", "1.05", "--out", run)
    assert result.exit_code == 0, result.output
    words = ("evaluate", run, *source, "--split", "val", "--json")
    measured = json.loads(CliRunner().invoke(main, [str(word) for word in words]).stdout)
    columns, *epochs = (run / "history.csv").read_text().splitlines()
    column = columns.split(",").index("val_nme_percent")
    # The epochs were measured on the crops that evaluate cuts for this model, and so is the file.
    best = min(float(epoch.split(",")[column]) for epoch in epochs)
    assert measured["nme_percent"] == pytest.approx(best, rel=1e-3)
    assert measured["crop_scale"] == 1.05
    words = ("quantize", run, *source, "--recipe", "ptq_w8a8", "--out", models)
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert open_predictor(next(models.glob("*.tflite"))).crop_scale == pytest.approx(1.05)


def test_the_default_crop_is_that_of_every_other_command() -> None:
    assert TrainConfig(data="", format="").crop_scale == CROP_SCALE


@pytest.mark.parametrize("moved", ["data", "val"])
def test_a_run_goes_on_where_its_data_lies_now(
    moved: str, drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    folders = {"data": drawn_faces(16), "val": drawn_faces(4)}
    run = tmp_path / "run"
    options = ("--data", folders["data"], "--val-data", folders["val"], "--format", "300w", *SMALL)
    assert train(*options, "--max-minutes", "0", "--out", run).exit_code == 1
    shutil.rmtree(run / "records")  # what was prepared is lost too
    there = tmp_path / "moved"
    folders[moved].rename(there)
    option = "--data" if moved == "data" else "--val-data"
    without = train("--resume", "--out", run)
    assert without.exit_code == 2
    assert option in without.stderr and str(folders[moved]) in without.stderr
    resumed = train("--resume", option, there, "--out", run)
    assert resumed.exit_code == 0, resumed.output
    assert f'"{there}"' in (run / "config.toml").read_text()


def test_other_data_than_the_run_began_with_is_refused(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    source = ("--data", drawn_faces(16), "--format", "300w", *SMALL)
    assert train(*source, "--max-minutes", "0", "--out", run).exit_code == 1
    other = drawn_faces(17)
    result = train("--resume", "--data", other, "--out", run)
    assert result.exit_code == 2
    assert f"--data {other}: the training and validation data differ" in result.stderr


def test_weights_to_start_from_may_move_too_but_must_be_the_same(
    data: Path, tmp_path: Path
) -> None:
    """The run stopped before its first epoch, so it reads them again."""
    first, other, run = (tmp_path / name for name in ("first.npz", "other.npz", "run"))
    for path, value in ((first, 0.5), (other, 0.25)):
        arrays = {}
        for unit in units(build("asmnet_nano", points=68, input_size=64)):
            kernel = unit.layer.get_weights()[0]
            arrays[f"{unit.name}/kernel"] = np.full(kernel.shape, value, np.float32)
            arrays[f"{unit.name}/bias"] = np.zeros(unit.layer.output_shape[-1], np.float32)
        np.savez(path, **arrays)
    source = ("--data", data, "--format", "300w", *SMALL, "--epochs", "1", "--init-from", first)
    assert train(*source, "--max-minutes", "0", "--out", run).exit_code == 1
    there = tmp_path / "there.npz"
    first.rename(there)
    lost = train("--resume", "--out", run)
    assert lost.exit_code == 2 and "--init-from" in lost.stderr and str(first) in lost.stderr
    wrong = train("--resume", "--init-from", other, "--out", run)
    assert wrong.exit_code == 2 and "not the weights that" in wrong.stderr
    keras = train("--resume", "--init-from", "imagenet", "--out", run)
    assert keras.exit_code == 2 and "'imagenet' asked for" in keras.stderr
    resumed = train("--resume", "--init-from", there, "--out", run)
    assert resumed.exit_code == 0, resumed.output


def test_a_resumed_run_may_not_get_a_teacher_that_it_did_not_have(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    source = ("--data", data, "--format", "300w", *SMALL)
    assert train(*source, "--max-minutes", "0", "--out", run).exit_code == 1
    np.savez(tmp_path / "t.npz", names=np.array(["a"]), points=np.zeros((1, 68, 2)))
    result = train("--resume", "--teacher", tmp_path / "t.npz", "--out", run)
    assert result.exit_code == 2 and SETTINGS_STAY in result.stderr


def test_a_run_in_a_folder_with_an_emoji_trains_resumes_and_is_read_by_quantize(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "\U0001f600 gr\u00fc\u00df"
    shutil.copytree(drawn_faces(train=16, val=4), folder / "faces")
    run = folder / "run"
    source = ("--data", folder / "faces", "--format", "300w", *SMALL)
    assert train(*source, "--max-minutes", "0", "--out", run).exit_code == 1
    resumed = train("--resume", "--out", run)
    assert resumed.exit_code == 0, resumed.output
    assert TrainConfig.load(run / "config.toml").data == str(folder / "faces")
    assert open_float_model(run, mean=None, scale=None).config.data == str(folder / "faces")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "300w", "--data", "{data}", "--sampling", "big=2"), "--sampling: expected"),
        (("--format", "300w", "--data", "{data}", "--clips", "big"), "--clips: expected subsets"),
        ((), "expected --data and --format"),
        (("--format", "300w"), "expected --data"),
        (("--format", "300w", "--data", "{data}", "--input-size", "100"), "multiple of 16"),
        (("--format", "300w", "--data", "{data}", "--split", "test"), "refused"),
        (("--format", "300w", "--data", "{data}", "--split", "other"), "no split 'other'"),
        (("--format", "300w", "--data", "{data}", "--batch-size", "32"), "one batch of 32"),
        (("--resume",), "no run to resume"),
        (("--format", "tiff"), "'tiff' is not one of"),
    ],
)
def test_a_wrong_call_exits_with_2_and_says_what_was_expected(
    arguments: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    filled = [argument.format(data=data) for argument in arguments]
    result = train(*filled, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "run").exists()  # so that the mended call may use the same --out


def test_an_empty_folder_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = train("--data", tmp_path / "empty", "--format", "300w", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "no faces of format 300w" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_exits_with_2_and_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "run"
    result = train("--data", data, "--format", "300w", *SMALL, "--out", out)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(out.parent) in result.stderr
