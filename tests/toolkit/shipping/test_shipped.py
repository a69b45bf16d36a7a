"""The models of the kit: each card is true to its file, names and paths are told apart."""

import hashlib
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.shipping.card import card_text
from asmnet_kit.shipping.ship import licence_in_file
from asmnet_kit.shipping.shipped import (
    FOLDER,
    LICENCES,
    ShippedModel,
    default_model,
    find_model,
    model_named,
    shipped_models,
)
from asmnet_kit.shipping.words import Words
from asmnet_kit.tflite.metadata import read_metadata

ROOT = Path(__file__).resolve().parents[3]
MODELS = shipped_models()
NAMES = [model.name for model in MODELS]


@pytest.fixture(params=MODELS, ids=NAMES)
def model(request: pytest.FixtureRequest) -> ShippedModel:
    return request.param


def test_a_model_ships_and_one_of_them_is_the_default() -> None:
    assert [m.name for m in MODELS if m.is_default] == [default_model().name]


def test_the_card_is_that_of_the_file_beside_it(model: ShippedModel) -> None:
    content, about = model.path.read_bytes(), model.card["model"]
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    assert about["size_bytes"] == len(content)
    metadata = read_metadata(model.path)
    assert metadata.licence == licence_in_file(model.card["licence"])
    variant = Words.read(model.folder / f"{model.name}.toml").variant
    assert model.path.name == metadata.named(variant)


def test_the_card_says_what_its_words_say_and_is_printed_as_written(model: ShippedModel) -> None:
    words = Words.read(model.folder / f"{model.name}.toml")
    for key in ("summary", "default", "licence", "trained_on", "terms", "use", "sets"):
        assert model.card[key] == getattr(words, key), "run: make card-words"
    assert model.card["failures"] == list(words.failures)
    assert model.text() == card_text(model.card)


def test_the_default_model_s_card_gives_the_intervals_of_what_it_measured() -> None:
    model = default_model()
    text = model.text()
    for scores in model.card["accuracy"]:
        for name, part in {"all": scores, **scores["per_subset"]}.items():
            low, high = part["nme_interval_percent"]
            assert low < part["nme_percent"] < high
            row = f"| {part['nme_percent']:.2f} ({low:.2f} to {high:.2f}) |"
            assert row in text, f"{scores['dataset']}, {name}"


def test_it_runs_and_judges_its_own_shapes(model: ShippedModel) -> None:
    predictor = open_predictor(model.path)
    assert predictor.scheme.points == model.card["model"]["landmarks"]
    if model.card["shape_model"] is not None:
        judge = Plausibility.load(model.folder / model.card["shape_model"])
        assert judge.shape_model.points == predictor.scheme.points
        assert judge.calibration is not None


def test_research_weights_are_named_in_the_package_s_licence() -> None:
    """pip shows that field: it must not say that everything is Apache-2.0 when weights are not."""
    (expression,) = re.findall(r'^license = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    research = any(model.card["licence"] == "LICENSE-WEIGHTS" for model in MODELS)
    named = "LicenseRef-asmnet-kit-weights" in expression
    assert named == research, (
        'with research weights pyproject.toml says: license = "Apache-2.0 AND '
        'LicenseRef-asmnet-kit-weights"'
    )
    assert (FOLDER / "LICENSE-WEIGHTS").is_file()


def test_a_name_with_or_without_the_file_s_rest_means_the_model() -> None:
    model = MODELS[0]
    for name in (model.name, model.path.stem, model.path.name):
        assert model_named(name) is not None
        assert find_model(Path(name)) == model.path


def test_what_exists_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAMES[0]).mkdir()
    assert find_model(Path(NAMES[0])) == Path(NAMES[0])


def test_a_path_that_does_not_exist_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    assert find_model(tmp_path / "none") == tmp_path / "none"
    assert find_model(Path("none.tflite")) == Path("none.tflite")


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"asmnet_giant.*{NAMES[0]}"):
        find_model(Path("asmnet_giant"))
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    for command, arguments in {
        "evaluate": ["asmnet_giant", "--data", tmp_path, "--format", "300w"],
        "benchmark": ["asmnet_giant", "--out", tmp_path / "out"],
        "check": ["asmnet_giant"],
        "predict": [photo, "--model", "asmnet_giant"],
    }.items():
        run = CliRunner().invoke(main, [command, *map(str, arguments)])
        assert run.exit_code == 2 and NAMES[0] in run.output, (command, run.output)


def test_a_damaged_card_is_an_error_that_names_it(tmp_path: Path) -> None:
    for content in ("{", "[]", "{}", json.dumps({**MODELS[0].card, "name": "other"})):
        (tmp_path / "m.json").write_text(content)
        with pytest.raises(ModelError, match=r"m\.json"):
            shipped_models(tmp_path)
    (tmp_path / "m.json").unlink()
    with pytest.raises(ModelError, match="default model"):
        default_model(tmp_path)


def test_the_list_names_every_model_its_licence_and_its_figures() -> None:
    run = CliRunner().invoke(main, ["models"])
    assert run.exit_code == 0
    for model in MODELS:
        assert model.name in run.stdout and LICENCES[model.card["licence"]] in run.stdout
        for nme in model.card["nme_percent"].values():
            assert f"{nme:.2f}" in run.stdout


def test_json_lists_the_same_and_nothing_else_is_on_stdout() -> None:
    run = CliRunner().invoke(main, ["models", "--json"])
    listed = json.loads(run.stdout)["models"]
    assert [entry["name"] for entry in listed] == NAMES
    keys = {"size_bytes", "landmarks", "input_size", "licence", "nme_percent", "path", "default"}
    for entry in listed:
        assert keys <= set(entry) and Path(entry["path"]).is_file()


def test_a_name_prints_the_card(model: ShippedModel) -> None:
    run = CliRunner().invoke(main, ["models", model.name])
    assert run.stdout == model.text()
    assert f"The file: {model.path}. Next: asmnet-kit predict" in run.stderr
    run = CliRunner().invoke(main, ["models", model.name, "--json"])
    assert json.loads(run.stdout) == model.card
    run = CliRunner().invoke(main, ["models", "none"])
    assert run.exit_code == 2 and model.name in run.output


def test_listing_models_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    script = (
        "import sys\nfrom asmnet_kit.cli import main\nmain(['models'], standalone_mode=False)\n"
        "assert not {'numpy', 'cv2', 'rich', 'ai_edge_litert'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_that_takes_a_model_takes_a_name() -> None:
    from asmnet_kit.cli import COMMANDS
    from asmnet_kit.commands.options import ModelPath

    for name in ("evaluate", "benchmark", "check", "predict"):
        command = COMMANDS[name].load()
        assert isinstance(command, click.Command)
        types = [p.type for p in command.params if p.name in ("model", "models")]
        assert types and all(isinstance(kind, ModelPath) for kind in types), name
