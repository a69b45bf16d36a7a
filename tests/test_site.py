"""The site of the documents: every page is in the navigation, and every link leads to a page.

The build itself (``make site``) needs Sphinx, in an environment of its own; CI runs it.
"""

import re
from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    return load_script("docs/build_site.py")


def test_every_page_stands_in_the_navigation_once(site: ModuleType) -> None:
    files = [page.file for section in site.sections() for page in section.pages]
    assert sorted(set(files)) == sorted(files)
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert pages - {*files, "docs/README.md"} == set(), "enter them in docs/site/pages.toml"
    assert all((ROOT / file).is_file() for file in files)


def test_the_sections_are_those_of_the_documentation(site: ModuleType) -> None:
    titles = [section.title for section in site.sections()]
    assert titles == ["Tutorial", "How-to", "Reference", "Explanation", "Model zoo"]
    cards = [page for page in site.sections()[-1].pages if page.file.startswith(site.CARDS)]
    assert len(cards) == len(list((ROOT / site.CARDS).glob("*.md")))


def test_the_contents_are_up_to_date(site: ModuleType) -> None:
    assert site.CONTENTS.read_text(encoding="utf-8") == site.contents(), "run: make docs"


def test_every_link_of_the_site_leads_to_a_page_or_a_file_of_it(
    site: ModuleType, tmp_path: Path
) -> None:
    names = site.stage(tmp_path / "source")
    assert {f"{name}.md" for name in names} == {
        path.relative_to(tmp_path / "source").as_posix()
        for path in (tmp_path / "source").rglob("*.md")
    }
    links = 0
    for page in (tmp_path / "source").rglob("*.md"):
        text = site.CODE.sub("", page.read_text(encoding="utf-8"))
        for link in [*re.findall(r"\]\(([^)\s]+)\)", text), *site.IMAGE.findall(text)]:
            path = link.partition("#")[0]
            if path and not re.match(r"[a-z]+:", link):
                assert (page.parent / path).is_file(), f"{page.name}: {link}"
                links += 1
    assert links > 200


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("[a](../SECURITY.md#what)", "[a](security.md#what)"),
        ("[`a`](lab/README.md)", "[`a`](lab/index.md)"),
        ("[a](../toolkit/models)", "a"),
        ("[a](https://example.com/x.md)", "[a](https://example.com/x.md)"),
        ("![a](people.jpg)", "![a](files/docs/people.jpg)"),
        ('<img src="people.jpg" width="2">', '<img src="files/docs/people.jpg" width="2">'),
        ("`[a](b.md)`", "`[a](b.md)`"),
        ("[a](#here)", "[a](#here)"),
    ],
)
def test_links_lead_to_the_copies(
    site: ModuleType, tmp_path: Path, text: str, changed: str
) -> None:
    copies = {page.file: page.name for section in site.sections() for page in section.pages}
    assert site.with_links(text, "docs/models.md", "models", copies, tmp_path) == changed


def test_a_page_without_its_picture_is_found(site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "here.jpg").touch()
    (tmp_path / "a.html").write_text('<img alt="" src="here.jpg"><img src="https://example.com/b">')
    assert site.lost_pictures(tmp_path) == []
    (tmp_path / "b.html").write_text('<img alt="" src="gone.jpg" />')
    assert site.lost_pictures(tmp_path) == ["b.html: no picture gone.jpg"]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.html", '<script src="https://cdn.example.com/x.js"></script>', 1),
        ("a.html", '<link rel="stylesheet" href="//fonts.example.com/css">', 1),
        ("a.css", "@import url(https://fonts.example.com/css);", 1),
        ("a.css", "src: url('https://fonts.example.com/a.woff2')", 1),
        ("a.html", '<a href="https://example.com">x</a><img src="files/a.png">', 0),
        ("a.html", '<link rel="canonical" href="https://example.com/a.html">', 0),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(
    site: ModuleType, tmp_path: Path, name: str, text: str, count: int
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(site.foreign_loads(tmp_path)) == count
