"""Recipes of training."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import UsageError
from asmnet_kit.cli import main
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.recipe_files import ABOUT, read_recipe, shipped
from wording import SETTINGS_STAY


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_recipe_is_a_configuration_and_says_what_to_expect(name: str) -> None:
    recipe = read_recipe(name)
    assert set(recipe.about) == set(ABOUT)
    assert f"--recipe {name}" in recipe.about["command"]
    teacher = {"teacher": "t.npz"} if "teacher_share" in recipe.settings else {}
    TrainConfig(data="d", format="300w", **recipe.settings, **teacher).validated()


def test_the_papers_recipe_is_the_papers() -> None:
    """asmnet.md: 224 px, MSE plus alpha 2, 1, 0.5 times the error to the smoothed truth."""
    settings = read_recipe("asmnet_paper").settings
    assert settings["arch"] == "asmnet" and settings["input_size"] == 224
    assert settings["loss"] == "asm" and settings["alpha"] == "paper"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[train", "not TOML"),
        ("[train]\nspeed = 3\n", "unknown settings: speed"),
        ("[train]\nepochs = 'many'\n", "expected int for epochs"),
        ("[train]\ndata = 'x'\n", "belong to the command, as --data"),
        ("[other]\n", r"expected the tables \[about\] and \[train\]"),
        ("[about]\nauthor = 'me'\n[train]\n", r"in \[about\]"),
    ],
)
def test_a_bad_recipe_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_recipe(str(path))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"expected a recipe of .*asmnet_paper.*; got 'best'"):
        read_recipe("best")


def test_options_win_over_the_recipe(tmp_path: Path) -> None:
    """The recipe's 224 px give way; its loss would need a data set, which is missing."""
    result = CliRunner().invoke(
        main,
        f"train --recipe asmnet_paper --input-size 100 --data {tmp_path} --format 300w "
        f"--out {tmp_path / 'run'}",
    )
    assert result.exit_code == 2
    for name, text in read_recipe("asmnet_paper").about.items():  # what to expect is told at once
        assert f"asmnet_paper, {name}: {text[:40]}" in result.output
    assert "got 100" in result.output


def test_a_resumed_run_takes_no_recipe(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["train", "--resume", "--recipe", "asmnet_paper", "--out", str(tmp_path)]
    )
    assert result.exit_code == 2
    assert SETTINGS_STAY in result.output
