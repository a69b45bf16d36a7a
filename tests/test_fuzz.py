"""Damaged inputs at every door, a short run of ``make fuzz``; and what its driver notices."""

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import click
import pytest
from click.testing import CliRunner
from scripts import load_script

from fuzz.child import Trial, input_of, judged, stopped_before_training
from fuzz.doors import BY_NAME, DOORS, Door
from fuzz.driver import Limits, faults_in_words, fuzz, shares, table, to_json
from fuzz.seeds import make_seeds
from fuzz.toy import DEEDS, FORMAT, TOY

SHORT = 250  # inputs, over all doors
ROOMY = Limits(seconds=300.0)  # where other tests run beside this one


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "seeds"
    folder.mkdir()
    make_seeds(folder)
    return folder


@pytest.mark.parametrize("door", DOORS, ids=BY_NAME)
def test_what_is_whole_is_read_at_its_door(door: Door, seeds: Path, tmp_path: Path) -> None:
    """Else the damage would meet a command that refuses everything."""
    trial = Trial(door, seeds, tmp_path / "work")
    for path in sorted(path for pattern in door.seeds for path in seeds.glob(pattern)):
        place = door.place.format(suffix=path.suffix, name=path.name)
        for call in dict.fromkeys(door.calls):
            trial.put(place, path.read_bytes())
            halfway = door.tensorflow and "--resume" not in call
            with stopped_before_training() if halfway else contextlib.nullcontext():
                outcome = trial.run(trial.arguments(place, path.read_bytes(), call))
            assert outcome == {"outcome": "read"}, call


@pytest.mark.slow
def test_no_damaged_input_gives_a_traceback_a_crash_a_hang_or_takes_2_gb(
    seeds: Path, tmp_path: Path
) -> None:
    tallies = fuzz(DOORS, seeds, tmp_path, seed=0, count=SHORT, jobs=2, limits=ROOMY)
    assert set(tallies) == set(BY_NAME)
    outcomes = sum((tally.outcomes for tally in tallies.values()), Counter())
    print(table(tallies))
    assert set(outcomes) == {"read", "refused"}, faults_in_words(tallies)
    assert outcomes.total() == SHORT and outcomes["refused"] > SHORT / 4


def test_an_error_that_is_no_message_is_a_traceback_with_its_place() -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError("by accident")

    outcome = judged(CliRunner().invoke(command))
    assert (outcome["outcome"], outcome["what"]) == ("traceback", "ZeroDivisionError: by accident")
    assert outcome["where"].endswith(" command")

    silent = click.Command("silent", callback=lambda: sys.exit(1))
    outcome = judged(CliRunner().invoke(silent))
    assert (outcome["outcome"], outcome["where"]) == ("traceback", "no message")


def test_the_same_seed_door_and_number_are_the_same_input(seeds: Path) -> None:
    door = BY_NAME["csv"]
    inputs = [input_of(door, seeds, seed, index) for seed in (1, 2) for index in range(3)]
    assert inputs == [input_of(door, seeds, seed, index) for seed in (1, 2) for index in range(3)]
    assert len({content for _, content, _ in inputs}) == 6


def test_the_page_about_robustness_is_up_to_date() -> None:
    script = load_script("docs/robustness.py")
    assert script.TARGET.read_text(encoding="utf-8") == script.page(), "run: make docs"


@pytest.mark.parametrize("door", DOORS, ids=BY_NAME)
def test_damage_takes_whatever_earlier_damage_left(door: Door, seeds: Path) -> None:
    random = Random(5)
    content = next(seeds.glob(door.seeds[0])).read_bytes()
    lengths = set()
    for _ in range(60):
        changed = random.choice(door.ways)(content, random)
        lengths.add(len(changed))
        content = changed if 0 < len(changed) < 1 << 20 else content
    assert len(lengths) > 5


def test_each_door_gets_its_share() -> None:
    assert shares([TOY], 7) == {"toy": 7}
    parts = shares(DOORS, 100_000)
    assert sum(parts.values()) == 100_000
    assert parts["tflite"] > 10_000 and min(parts.values()) > 100


def test_the_driver_notices_every_outcome_and_keeps_the_inputs_of_faults(
    seeds: Path,
    tmp_path: Path,
    offer: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = offer("asmnet_kit.formats", "toy", FORMAT)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    count = 12
    limits = Limits(seconds=10.0, peak_bytes=500 << 20)
    tallies = fuzz([TOY], seeds, tmp_path / "out", seed=2, count=count, limits=limits)
    deeds = [input_of(TOY, seeds, 2, index)[1].decode() for index in range(count)]
    assert set(deeds) == set(DEEDS)
    assert tallies["toy"].outcomes == Counter(deeds)

    told = to_json(tallies, seed=2)
    assert told["doors"]["toy"]["inputs"] == count
    assert {fault["outcome"] for fault in told["faults"]} == {*DEEDS} - {"read", "refused"}
    for fault in told["faults"]:
        assert fault["outcome"] == deeds[fault["index"]]
        assert f"--door toy --seed 2 --first {fault['index']} --count 1" in fault["repeat"]
        kept = tmp_path / "out" / "faults" / f"toy-{fault['index']}"
        assert json.loads((kept / "fault.json").read_text()) == fault
        assert (kept / "input.toy").read_text() == fault["outcome"]
    assert list((tmp_path / "out" / "work").iterdir()) == []
