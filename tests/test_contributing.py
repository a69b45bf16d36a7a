"""CONTRIBUTING's recipes, followed to the letter: files written, installed, commands typed."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from asmnet_kit.drawn_faces.render import synthesize
from wording import VALIDATION_NME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONTRIBUTING = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
FILE = re.compile(r"^`([\w./-]+)`[^`\n]*.*?^```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
FACES = {"train": 32, "val": 8, "test": 8}  # a training batch is 32


class Recipe:
    """A section of CONTRIBUTING: the files it shows, and the commands."""

    def __init__(self, heading: str) -> None:
        page = CONTRIBUTING.read_text(encoding="utf-8")
        section = page.split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0]
        self.files = dict(FILE.findall(section))
        lines = "".join(CONSOLE.findall(section)).splitlines()
        self.commands = [line.removeprefix("$ ").split() for line in lines]

    def wheel(self, folder: Path) -> Path:
        """The package as pip would build it, without its build tools, which need the network."""
        project = tomllib.loads(self.files["pyproject.toml"])["project"]
        name, version = project["name"].replace("-", "_"), project["version"]
        info = f"{name}-{version}.dist-info"
        groups = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
            for group, points in project["entry-points"].items()
        ]
        content = {path: text for path, text in self.files.items() if path.endswith(".py")}
        content |= {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\n"
            f"Version: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
            f"{info}/entry_points.txt": "\n".join(groups),
        }
        record = io.StringIO()
        csv.writer(record).writerows([path, "", ""] for path in [*content, f"{info}/RECORD"])
        path = folder / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for inner, text in {**content, f"{info}/RECORD": record.getvalue()}.items():
                archive.writestr(inner, text)
        return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recipes are followed: ``faces`` has drawn ones with Acme's labels, one bad."""
    folder = tmp_path_factory.mktemp("acme")
    drawn = synthesize(sum(FACES.values()), seed=1, size=96)
    lines = []
    for split, count in FACES.items():
        (folder / "faces" / split).mkdir(parents=True)
        for index in range(count):
            face, name = next(drawn), f"{split}/{index}.png"
            cv2.imwrite(str(folder / "faces" / name), face.image[..., ::-1])
            label = {"picture": name, "points": face.landmarks68.tolist(), "split": split}
            lines.append(json.dumps(label))
    lines.append('{"picture": "train/0.png"}')
    (folder / "faces" / "faces.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def follow(folder: Path) -> Callable[[str], dict[str, str]]:
    """Types a recipe's commands in ``folder``; gives what each asmnet-kit command printed."""
    site = folder / "site"
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}

    def run(*words: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(recipe: Recipe) -> None:
        quietly = ("--no-index", "--no-deps", "--disable-pip-version-check", "--target", site)
        run("pip", "install", *quietly, recipe.wheel(folder))

    def follow(heading: str) -> dict[str, str]:
        recipe, printed = Recipe(heading), {}
        for program, *words in recipe.commands:
            if program == "pip":
                install(recipe)
            else:
                assert program == "asmnet-kit"
                printed[words[0]] = run("asmnet_kit", *words)
        return printed

    return follow


def test_a_format_from_another_package_is_read_by_every_command(
    follow: Callable[[str], dict[str, str]], folder: Path
) -> None:
    printed = follow("A data format")
    assert "faces: 48" in printed["data"]
    assert "bad files: 1" in printed["data"]
    assert "faces.jsonl line 49: expected a picture and its points" in printed["data"]


@pytest.mark.slow
def test_an_architecture_from_another_package_trains_and_becomes_int8(
    follow: Callable[[str], dict[str, str]], folder: Path
) -> None:
    follow("A data format")
    printed = follow("An architecture")
    assert VALIDATION_NME in printed["train"]
    manifest = json.loads((folder / "runs/tiny/manifest.json").read_text())
    assert manifest["architecture"]["name"] == "acme_tiny"
    assert manifest["dataset"]["format"] == "acme"
    assert "edgetpu: full" in printed["check"]
