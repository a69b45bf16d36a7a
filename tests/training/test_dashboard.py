"""``--dashboard``: the page is there while a training runs, and gone after it."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base import errors
from asmnet_kit.base.install import install_command
from asmnet_kit.cli import main
from asmnet_kit.training import dashboard_page
from asmnet_kit.training.dashboard import dashboard

TINY = ("--arch", "asmnet_nano", "--input-size", "64", "--batch-size", "8")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as page:
            return page.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.slow
def test_training_shows_its_scalars_until_it_ends(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    """Stopped after the first epoch, so that there is something to look at, and then gone on."""
    pytest.importorskip("tensorboard")
    data, run = drawn_faces(train=16, val=4), tmp_path / "run"
    kit = [sys.executable, "-m", "asmnet_kit", "train", "--out", str(run), "--dashboard"]
    training = subprocess.Popen(
        [*kit, "--data", str(data), "--format", "300w", *TINY, "--epochs", "200"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert training.stderr is not None
    try:
        said = training.stderr.readline()
        (address,) = re.findall(r"^Dashboard: (http://127\.0\.0\.1:\d+/) ", said)
        assert answers(address)
        deadline = time.monotonic() + 500
        scalars = ""
        while "val_nme_percent" not in scalars and time.monotonic() < deadline:
            time.sleep(1)
            with urllib.request.urlopen(f"{address}data/plugin/scalars/tags") as page:
                scalars = page.read().decode()
        assert "val_nme_percent" in scalars and "loss" in scalars
    finally:
        training.kill()  # at once, as the system does where memory ends: the page must go, too
        training.wait()
        training.stderr.close()
    deadline = time.monotonic() + 30
    while answers(address) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not answers(address)


def test_the_page_ends_with_the_block(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with dashboard(tmp_path / "logs") as address:
        assert answers(address)
    assert not answers(address)


def test_without_tensorboard_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    find = errors.importlib.util.find_spec
    monkeypatch.setattr(
        errors.importlib.util, "find_spec", lambda n: None if n == "tensorboard" else find(n)
    )
    source = [
        "--data",
        str(drawn_faces(train=16, val=4)),
        "--format",
        "300w",
        *TINY,
        "--epochs",
        "2",
    ]
    done = CliRunner().invoke(
        main, ["train", *source, "--out", str(tmp_path / "run"), "--dashboard"]
    )
    assert done.exit_code == 1
    assert "'tensorboard'" in done.output and install_command("dashboard") in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [("raise SystemExit('no port is free')", "no port is free"), ("pass", r"\(\)")],
)
def test_a_page_that_does_not_start_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    broken = tmp_path / "page.py"
    broken.write_text(script)
    monkeypatch.setattr(dashboard_page, "__file__", str(broken))
    with (
        pytest.raises(errors.KitError, match=f"TensorBoard did not start .*{reason}"),
        dashboard(tmp_path / "logs"),
    ):
        pass


def test_a_recipe_that_trains_nothing_has_no_use_for_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.toml", "manifest.json"):
        (run / name).touch()
    options = ["--recipe", "ptq_w8a8", "--dashboard", "--out", str(tmp_path / "models")]
    done = CliRunner().invoke(
        main, ["quantize", str(run), "--data", str(tmp_path), "--format", "csv", *options]
    )
    assert (done.exit_code, "--dashboard" in done.output) == (2, True), done.output
    assert not (tmp_path / "models").exists()
