"""Which realism pays: the study's runs, and its table."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.training.studies import people_study
from asmnet_kit.training.studies.people_study import VARIANTS, Outcome, Variant, table


def test_every_variant_has_as_many_steps():
    shown = {variant.epochs * variant.count for variant in VARIANTS}
    assert shown == {people_study.EPOCHS * people_study.COUNT}
    assert len({variant.title for variant in VARIANTS}) == len(VARIANTS)
    assert len({(v.drawn, v.augmentation) for v in VARIANTS}) == len(VARIANTS)


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


TINY = ("--input-size", "64", "--arch", "asmnet_nano", "--batch-size", "8")


@pytest.mark.slow
def test_a_study_draws_trains_measures_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    class Short(Variant):
        epochs = 1

    few, plain = Short("few", count=20), Short("plain", count=20, without=("hair",))
    monkeypatch.setattr(people_study, "VARIANTS", (few, plain))
    monkeypatch.setattr(people_study, "TRAINING", TINY)
    photos, out = tmp_path / "photos", tmp_path / "study"
    people_study.kit("data", "synthesize", "--count", "12", "--size", "48", "--out", photos)
    words = ["--photos", str(photos), "--photos-format", "synthetic", "--split", "train"]
    words += ["--seeds", "1", "--init-from", "", "--out", str(out)]
    result = CliRunner().invoke(people_study.main, words)
    assert result.exit_code == 0, result.output
    runs = json.loads(Path(out / "study.json").read_text())["runs"]
    assert [run["variant"] for run in runs] == ["few", "plain"]
    assert all(run["nme"] > 0 for run in runs)
    began = (out / "runs" / "few_0" / "model.keras").stat().st_mtime_ns
    again = CliRunner().invoke(people_study.main, words)
    assert again.output == result.output
    assert (out / "runs" / "few_0" / "model.keras").stat().st_mtime_ns == began
