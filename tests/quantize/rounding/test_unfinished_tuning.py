"""What an unfinished fine-tuning compares before it goes on."""

from pathlib import Path
from typing import Any

import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.quantize.rounding.unfinished_tuning import UnfinishedTuning
from wording import BUSY, UNFINISHED_TUNING

SETTINGS: dict[str, Any] = {
    "settings": {"seed": 0},
    "validated_on": "abc",
    "kit_version": "0.1.0",
    "packages": {"tensorflow": "2.21.0", "numpy": "2.4.0"},
}


def resumed(folder: Path, **changes: Any) -> None:
    """Begin with ``SETTINGS`` and go on with some of them changed."""
    file = folder / "model.tflite"
    with UnfinishedTuning(file, SETTINGS, resume=False).begun():
        pass
    with UnfinishedTuning(file, {**SETTINGS, **changes}, resume=True).begun():
        pass


def test_the_same_settings_go_on_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"packages": {"tensorflow": "2.22.0", "numpy": "2.4.0"}},
            "in one go: tensorflow 2.21.0, now 2.22.0",
        ),
        ({"packages": {"tensorflow": "2.21.0"}}, "in one go: numpy 2.4.0, now (none)"),
        ({"kit_version": "0.2.0"}, "in one go: asmnet-kit 0.1.0, now 0.2.0"),
    ],
)
def test_changed_packages_are_named_and_go_on(
    changes: dict[str, Any], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed(tmp_path, **changes)
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("changes", "named"), [({"settings": {"seed": 1}}, "settings"), ({"validated_on": "x"}, "val")]
)
def test_changed_settings_are_refused(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"the same {named}.*Give the same options"):
        resumed(tmp_path, **changes)


def test_what_an_earlier_kit_did_not_note_is_no_difference(tmp_path: Path) -> None:
    resumed(tmp_path, noted_since_then="abc")


def test_a_call_without_resume_begins_anew_where_no_epoch_would_be_lost(tmp_path: Path) -> None:
    tuning = UnfinishedTuning(tmp_path / "model.tflite", SETTINGS, resume=False)
    with tuning.begun():
        (tuning.folder / "records" / "train").mkdir(parents=True)
        (tuning.folder / "records" / "train" / "all-00000.tfrecord").touch()
    with tuning.begun():
        assert [path.name for path in tuning.folder.iterdir()] == ["settings.json"]
        (tuning.folder / "last.npz").touch()
    with pytest.raises(UsageError, match=UNFINISHED_TUNING), tuning.begun():
        pass
    tuning.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_finished_call_leaves_the_folder_of_another_that_has_begun(tmp_path: Path) -> None:
    """Its lock ends with its epochs: another call may begin while it converts and measures."""
    first, second = (
        UnfinishedTuning(tmp_path / "model.tflite", SETTINGS, resume=False) for _ in range(2)
    )
    with first.begun():
        pass
    with second.begun():
        with pytest.raises(UsageError, match=BUSY), first.begun():
            pass
        first.forget()
        assert (second.folder / "settings.json").exists()
    second.forget()
    assert not second.folder.exists()
