"""Tables that other packages add to: names without imports, and faults told with their package."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.plugins import PluginTable
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset

GROUP = "asmnet_kit.formats"
TABLE = PluginTable(kind="shelf", group=GROUP, own={"own": "json:loads"}, needs=("__call__",))
BROKEN = "raise OSError('no licence')"

# A reader whose faces are what the tests put in place of FACES.
READER = """
import numpy as np
from pathlib import Path
from asmnet_kit.datasets.base import Face, PictureFile
from asmnet_kit.datasets.folders import Reading

def face(name="a", dtype=np.float32, points=68):
    landmarks = np.arange(2 * points).reshape(points, 2).astype(dtype)
    return Face(name, PictureFile(Path(name)), landmarks)

def read(root):
    FACES
"""


def asmnet_kit(*words: object, site: Path) -> subprocess.CompletedProcess[str]:
    """A command, typed where the packages in ``site`` are installed."""
    return subprocess.run(
        [sys.executable, "-m", "asmnet_kit", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """One face in the format 300w."""
    folder = tmp_path / "faces"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((100, 100, 3), 90, np.uint8))
    grid = np.stack(np.meshgrid(np.linspace(20, 70, 17), np.linspace(15, 55, 4)), axis=-1)
    write_pts(folder / "a.pts", grid.reshape(68, 2).astype(np.float32))
    return folder


def test_names_are_listed_without_importing_what_they_stand_for(
    offer: Callable[..., Path],
) -> None:
    offer(GROUP, "b", BROKEN)
    offer(GROUP, "a", BROKEN, package="other")
    assert TABLE.names() == ["own", "a", "b"]
    TABLE.check("a")
    assert TABLE.package("a") == "other"
    assert TABLE.package("own") is None


def test_the_kits_own_is_loaded_by_its_module_and_attribute() -> None:
    assert TABLE.load("own")("[1]") == [1]
    assert FORMATS.load("csv").__name__ == "asmnet_kit.datasets.keypoint_csv"


def test_a_package_with_a_damaged_list_of_entry_points_hides_no_other(
    offer: Callable[..., Path],
) -> None:
    """Of whatever group it is: the interpreter's own look-up ends at the first one."""
    site = offer(GROUP, "a", "X = 1")
    offer(GROUP, "b", "", package="damaged")
    (site / "damaged-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\ndamaged\n")
    assert TABLE.names() == ["own", "a"]
    assert TABLE.package("a") == "acme"
    done = asmnet_kit("train", "--help", site=site)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_refused_with_those_that_are_known(offer: Callable[..., Path]) -> None:
    offer(GROUP, "a", "")
    with pytest.raises(UsageError, match="expected a shelf of own, a; got 'c'"):
        TABLE.load("c")


def test_a_name_that_two_packages_offer_is_refused_with_both(offer: Callable[..., Path]) -> None:
    offer(GROUP, "a", "")
    offer(GROUP, "a", "", package="other")
    with pytest.raises(UsageError, match="shelf a: offered by acme and by other"):
        TABLE.check("a")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, "cannot be loaded (OSError: no licence): repair or uninstall acme"),
        ("import nothing_of_it", "cannot be loaded (ModuleNotFoundError: No module named 'nothing"),
        ("", "is no format: it has no read"),
    ],
)
def test_a_broken_package_is_named_with_the_reason(
    offer: Callable[..., Path], faces: Path, source: str, reason: str
) -> None:
    site = offer(GROUP, "acme", source)
    done = asmnet_kit("data", "inspect", "--data", faces, "--format", "acme", site=site)
    assert done.returncode == 2, done.stderr
    assert f"format acme: acme's acme_formats {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_kits_own_wins_over_another_packages_name_and_says_so(
    offer: Callable[..., Path], faces: Path
) -> None:
    site = offer(GROUP, "300w", BROKEN)
    done = asmnet_kit("data", "inspect", "--data", faces, "--format", "300w", site=site)
    assert done.returncode == 0, done.stderr
    assert "faces: 1" in done.stdout
    assert "format 300w: the kit's own is used; that of the package acme" in done.stderr


@pytest.mark.parametrize(
    ("faces_of", "reason"),
    [
        ("return {}['x']", "failed (KeyError: 'x')"),
        ("return [face()]", "should return a Reading, got list"),
        ("return Reading(68, ['a'])", "should give faces of type Face, got str"),
        ("return Reading(68, [face(dtype=float)])", "got float64 [68, 2] for a"),
        ("return Reading(68, [face(points=5)])", "got float32 [5, 2] for a"),
        ("return Reading(68, [face(), face()])", "a name of its own, got a twice"),
    ],
)
def test_a_reader_that_does_wrong_is_named_with_its_package(
    offer: Callable[..., Path], tmp_path: Path, faces_of: str, reason: str
) -> None:
    offer(GROUP, "acme", READER.replace("FACES", faces_of))
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path, "acme")
    assert "the reader of format acme, from the package acme," in str(caught.value)
    assert reason in str(caught.value)


def test_what_a_reader_says_itself_about_the_data_is_passed_on(
    offer: Callable[..., Path], tmp_path: Path
) -> None:
    source = "from asmnet_kit.base.errors import DatasetError\n"
    offer(GROUP, "acme", source + "def read(root): raise DatasetError('no faces.jsonl')")
    with pytest.raises(DatasetError, match=r"^no faces.jsonl$"):
        load_dataset(tmp_path, "acme")


def test_a_reader_that_takes_points_is_given_the_scheme_that_is_asked_for(
    offer: Callable[..., Path], tmp_path: Path
) -> None:
    source = READER.replace("read(root)", "read(root, *, points=None)")
    offer(
        GROUP,
        "acme",
        source.replace("FACES", "n = points or 68; return Reading(n, [face(points=n)])"),
    )
    assert load_dataset(tmp_path, "acme").scheme.points == 68
    assert load_dataset(tmp_path, "acme", points=98).scheme.points == 98
