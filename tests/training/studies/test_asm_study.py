"""The study of ASM-LOSS: its table, and that it goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.training.studies import asm_study
from asmnet_kit.training.studies.asm_study import Outcome, table


def test_the_table_gives_mean_and_spread_over_seeds() -> None:
    """5 and 6 %: mean 5.5, sample standard deviation sqrt(2 x 0.25 / 1) = 0.71."""
    outcomes = [
        Outcome("mse", 0, 5.0, 3.0), Outcome("mse", 1, 6.0, 3.0), Outcome("asm85", 0, 4.0, 2.5),
    ]  # fmt: skip
    lines = table(outcomes).splitlines()
    assert lines[2:] == [
        "| MSE | 2 | 5.50 ± 0.71 | 3.00 ± 0.00 |",
        "| MSE + ASM, 85 % | 1 | 4.00 | 2.50 |",
    ]


def test_variants_differ_in_the_loss_alone() -> None:
    allowed = {"loss", "alpha", "asm_variance"}
    assert all(set(variant.settings) <= allowed for variant in asm_study.ALL_VARIANTS)
    names = [variant.name for variant in asm_study.ALL_VARIANTS]
    assert len(set(names)) == len(names)


def test_variants_are_chosen_by_name_in_the_order_of_the_table() -> None:
    chosen = asm_study.variants_of("smooth_l1, mse")
    assert [variant.name for variant in chosen] == ["mse", "smooth_l1"]
    for wrong in ("mse,wing", ""):
        with pytest.raises(UsageError, match="expected variants of asm85, asm90"):
            asm_study.variants_of(wrong)


@pytest.mark.slow
def test_a_study_trains_writes_and_takes_finished_runs_as_they_are(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    arguments = ["--data", str(drawn_faces(40)), "--format", "300w", "--arch", "asmnet_nano"]
    arguments += ["--variants", "mse"]
    arguments += ["--epochs", "1", "--seeds", "2", "--out", str(tmp_path / "study")]
    first = CliRunner().invoke(asm_study.main, arguments, catch_exceptions=False)
    assert first.exit_code == 0
    study = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [outcome["seed"] for outcome in study["outcomes"]] == [0, 1]
    assert all(outcome["nme"] > 0 for outcome in study["outcomes"])
    assert (tmp_path / "study" / "study.png").read_bytes().startswith(b"\x89PNG")
    models = [tmp_path / "study" / f"mse_{seed}" / "model.keras" for seed in (0, 1)]
    before = [model.stat().st_mtime_ns for model in models]
    assert CliRunner().invoke(asm_study.main, arguments).exit_code == 0
    assert [model.stat().st_mtime_ns for model in models] == before
    assert study["settings"]["data"] == arguments[1]
    other = CliRunner().invoke(asm_study.main, [*arguments, "--input-size", "80"])
    assert other.exit_code == 2 and "holds another study" in other.output


def test_a_start_is_named_as_for_train_and_mistakes_take_one_line(
    drawn_faces: Callable[..., Path], tmp_path: Path
) -> None:
    """A model of the kit by its name, which is not a file of the working folder."""
    source = ["--data", str(drawn_faces(40)), "--format", "300w", "--out", str(tmp_path / "study")]
    wrong = CliRunner().invoke(asm_study.main, [*source, "--init-from", "no_such_model"])
    assert wrong.exit_code == 2 and "no_such_model" in wrong.output
    named = ["--init-from", "asmnet_nano_synthetic", "--input-size", "65"]
    found = CliRunner().invoke(asm_study.main, [*source, *named])  # the size alone is refused
    assert found.exit_code == 2 and "65" in found.output and "Traceback" not in found.output
    assert not (tmp_path / "study").exists()
