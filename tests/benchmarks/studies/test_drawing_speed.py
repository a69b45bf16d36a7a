"""Faces per second: how many faces are drawn, and what is divided by what."""

import re
import sys
from dataclasses import replace

import pytest

from asmnet_kit.benchmarks.studies import drawing_speed
from asmnet_kit.drawn_faces.write import DRAWN


def test_every_face_is_drawn_once_and_counts_in_the_mean(monkeypatch) -> None:
    """20 faces at half a second, 20 at a quarter, 10 at a half: 50 faces in 20 s, at best 4/s."""
    now, drawn = 0.0, []

    def draw(seed, index, size):
        nonlocal now
        drawn.append(index)
        now += 0.25 if 20 <= index < 40 else 0.5

    renderer = replace(DRAWN, draw=draw)
    monkeypatch.setattr(drawing_speed.time, "process_time", lambda: now)
    speed = drawing_speed.faces_per_second(50, size=48, renderer=renderer)
    assert speed == pytest.approx((2.5, 4.0))
    assert drawn == [0, *range(50)]  # the first one, which fills the tables, is not timed


def test_the_command_says_how_many_faces_of_what_size(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["drawing_speed", "--count", "5", "--size", "48"])
    drawing_speed.main()
    told = capsys.readouterr().out
    for kind in ("drawn", "people"):
        line = next(line for line in told.splitlines() if line.startswith(f"{kind}: "))
        assert "faces/s per core at 48 px (mean of 5; " in line
        mean, best = re.findall(r"([\d.]+) faces/s", line)
        assert mean == best != "0.0"  # five faces are one batch
