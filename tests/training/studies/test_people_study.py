"""Which realism pays: the study's runs, and its table."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.training.studies import people_study
from asmnet_kit.training.studies.people_study import (
    LONGER,
    VARIANTS,
    WITH_PORTRAITS,
    Outcome,
    Variant,
    table,
)


def test_every_variant_has_as_many_steps():
    shown = {variant.epochs(0) * variant.count for variant in VARIANTS}
    assert shown == {people_study.EPOCHS * people_study.COUNT}
    assert len({variant.title for variant in (*VARIANTS, *WITH_PORTRAITS)}) == len(VARIANTS) + 2
    assert len({(v.drawn, v.augmentation, v.architecture) for v in VARIANTS}) == len(VARIANTS)
    for variant in WITH_PORTRAITS:  # twice the pictures, half the epochs
        assert variant.epochs(variant.count) == people_study.EPOCHS // 2
    for variant in LONGER:  # whole epochs
        seen = variant.epochs(0) * variant.count
        assert seen == pytest.approx(people_study.MANY_SEEN, rel=0.05)


def test_the_table_has_a_row_for_each_variant_and_a_figure_for_each_seed():
    outcomes = [
        Outcome("all", 0, 6.0, {"near": 5.0, "far": 7.0}),
        Outcome("all", 1, 6.25, {"near": 5.5, "far": 7.0}),
        Outcome("bald", 0, 8.0, {"near": 8.0, "far": 8.0}),
    ]
    assert table(outcomes).splitlines() == [
        "| | all | far | near |",
        "|---|---|---|---|",
        "| all | 6.00 6.25 | 7.00 7.00 | 5.00 5.50 |",
        "| bald | 8.00 | 8.00 | 8.00 |",
    ]


TINY = ("--input-size", "64", "--batch-size", "8")


@pytest.mark.slow
def test_a_study_draws_trains_measures_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    class Short(Variant):
        def epochs(self, added):
            return 1

    few = Short("few", count=20, architecture="asmnet_nano")
    changes = {"without": ("hair",), "portraits": ("turned",), "architecture": "asmnet_nano"}
    monkeypatch.setattr(people_study, "VARIANTS", (few,))
    mixed = Short("mixed", count=20, **changes)
    monkeypatch.setattr(people_study, "WITH_PORTRAITS", (mixed,))
    monkeypatch.setattr(people_study, "TRAINING", TINY)
    photos, out = tmp_path / "photos", tmp_path / "study"
    people_study.kit("data", "synthesize", "--count", "12", "--size", "48", "--out", photos)
    portraits = some_portraits(photos, tmp_path / "portraits")
    words = ["--photos", str(photos), "--photos-format", "synthetic", "--split", "train"]
    words += ["--seeds", "1", "--init-from", "", "--portraits", str(portraits), "--out", str(out)]
    result = CliRunner().invoke(people_study.main, words)
    assert result.exit_code == 0, result.output
    runs = json.loads(Path(out / "study.json").read_text())["runs"]
    assert [run["variant"] for run in runs] == ["few", "mixed"]
    assert all(run["nme"] > 0 for run in runs)
    few_faces, mixed_faces = (
        json.loads((out / "runs" / run / "manifest.json").read_text())["dataset"]["counts"]["train"]
        for run in ("few_0", "mixed_0")
    )
    assert mixed_faces == few_faces + 3
    monkeypatch.setattr(
        people_study, "LONGER", (Short("many", count=20, architecture=few.architecture),)
    )
    mixed = CliRunner().invoke(people_study.main, [*words, "--many"])
    assert mixed.exit_code == 2 and "leave --portraits out" in mixed.output
    alone = [word for word in words if word not in ("--portraits", str(portraits))]
    many = CliRunner().invoke(people_study.main, [*alone, "--many"])
    assert [line.split(" | ")[0] for line in many.output.strip().splitlines()[2:]] == ["| many"]
    began = (out / "runs" / "few_0" / "model.keras").stat().st_mtime_ns
    again = CliRunner().invoke(people_study.main, words)
    assert again.output == result.output
    assert (out / "runs" / "few_0" / "model.keras").stat().st_mtime_ns == began


def some_portraits(faces: Path, out: Path) -> Path:
    """What make people-portraits would write: four pictures, three of which are turned."""
    people_study.kit("data", "convert", "--data", faces, "--format", "synthetic", "--to", "csv",
                     "--split", "train", "--out", out)  # fmt: skip
    rows = people_study._rows(out / "labels.csv")[:4]
    for row, subset in zip(rows, ("portraits", "turned", "turned", "turned"), strict=True):
        row["subset"] = subset
    kept = ["file", *(f"{axis}{point}" for point in range(68) for axis in "xy"), "subset", "split"]
    with (out / "labels68.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return out
