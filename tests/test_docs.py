"""The documents: links lead somewhere, and figures of the models are those of their cards."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import load_script

from asmnet_kit.shipping.shipped import ShippedModel, shipped_models

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", text.strip()) for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue  # another site
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_models_in_the_readme_are_up_to_date() -> None:
    script = load_script("docs/readme.py")
    assert (ROOT / "README.md").read_text(encoding="utf-8") == script.page(), "run: make docs"


def test_the_zoo_is_up_to_date() -> None:
    script = load_script("docs/zoo.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: make docs"


def test_the_plausibility_of_noise_is_what_the_page_says() -> None:
    page = (ROOT / "docs" / "plausibility.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (said,) = re.findall(r"median plausibility of (\S+)", page)
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert f"{float(printed):.2f}" == said


# No photographs with 98 labelled points were at hand.
ON_PHOTOGRAPHS = [model for model in shipped_models() if model.summary()["landmarks"] == 68]


@pytest.mark.parametrize("model", ON_PHOTOGRAPHS, ids=lambda model: model.name)
def test_the_tables_of_the_models_are_those_of_their_cards(model: ShippedModel) -> None:
    """docs/accuracy.md's rows: rounded figures of the measurements in the cards."""
    complete, everything, detected = model.card["accuracy"][:3]
    assert (complete["complete_only"], everything["boxes"]) == (True, "landmarks")
    assert (detected["boxes"], detected["failure_rate_counts_misses"]) == ("detector", True)
    subsets = [f"{complete['per_subset'][name]['nme_percent']:.2f}" for name in ("aflw", "ytf")]
    fails = f"{detected['failure_rate_percent']['8']:.1f} %"
    pose = " / ".join(f"{detected['pose_mae_deg'][k]:.1f}" for k in ("yaw", "pitch", "roll"))
    assert first_row(ROOT / "docs" / "accuracy.md", model.name)[1:] == [
        *subsets,
        *(f"{scores['nme_percent']:.2f}" for scores in (everything, detected)),
        fails,
        pose,
    ]


def first_row(page: Path, model: str) -> list[str]:
    """The cells of the first table row about a model."""
    lines = page.read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith(f"| `{model}`"))
    return [cell.strip() for cell in row.strip("|").split("|")]
