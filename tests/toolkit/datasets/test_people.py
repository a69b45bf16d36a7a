"""``--data people --format people`` where models are measured: no folder, a fixed set of faces."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.people import fixed_sets
from asmnet_kit.people.render import pose_of


def kit(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_sets, "MEASURED", 2)
    monkeypatch.setattr(fixed_sets, "MEASURED_SIZE", 48)
    fixed_sets.people_to_measure_on.cache_clear()


@pytest.mark.usefixtures("few")
def test_people_are_a_test_split_with_exact_poses() -> None:
    dataset = load_dataset(Path("people"), "people", points=98)
    assert (dataset.name, dataset.scheme.points, len(dataset.faces)) == ("people", 98, 2)
    for number, face in enumerate(dataset.faces, start=3 * 2**30):
        assert face.split == "test"
        np.testing.assert_array_equal(face.pose, pose_of(0, number))


@pytest.mark.usefixtures("few")
def test_people_are_inspected_like_any_faces() -> None:
    result = kit("data", "inspect", "--data", "people", "--format", "people", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["faces"], report["faces_with_pose"]) == (2, 2)


def test_people_are_no_folder_and_a_folder_is_not_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "faces"
    folder.mkdir()
    refused = kit("data", "inspect", "--data", folder, "--format", "people")
    assert refused.exit_code == 2
    assert "expected --data people, got" in refused.stderr
    for data_format in ("300w", "csv", "records", "synthetic", "wflw"):
        missing = kit("data", "inspect", "--data", "people", "--format", data_format)
        assert missing.exit_code == 2, data_format
        assert "people: no such file or folder" in missing.stderr
    (tmp_path / "people").mkdir()  # a folder of this name is read by the other formats
    empty = kit("data", "inspect", "--data", "people", "--format", "300w")
    assert empty.exit_code == 1
    assert "no faces of format 300w" in empty.stderr
