"""Builds the site of the documents into build/site, offline and strictly.

Usage: make site (which installs Sphinx into .venv-site; this script needs nothing of the kit)

The Markdown of docs/ stays as GitHub shows it. This script copies the pages that
docs/site/pages.toml lists to build/site-source, points their links at each other's copies, and adds
the navigation to the start page. Then Sphinx builds it with every warning an error: a link or an
anchor that leads nowhere, or a page that is in no section, stops the build.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
CONTENTS = ROOT / "docs" / "README.md"
CARDS = "toolkit/models"
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
IMAGE = re.compile(r'<img src="([^":]+)"')
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# What a page may load from another place: nothing.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'> ]+"
    r"|<link\b[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon)[^>]*\bhref=[\"']?(?:https?:)?//[^>]+"
    r"|(?:@import|url\()\s*[\"']?(?:https?:)?//[^\"') ]+"
)


PICTURE = re.compile(r'<img\b[^>]*\bsrc="([^":]+)"')


@dataclass(frozen=True)
class Page:
    """A page of the site.

    Attributes:
        file: Markdown, its path from the repository's root.
        title: short, for the navigation.
        about: what it is for, a few words.
    """

    file: str
    title: str
    about: str

    @property
    def name(self) -> str:
        """Its path on the site without the ending: ``docs/lab/asm-loss.md`` -> ``lab/asm-loss``."""
        path = Path(self.file)
        if path.parts[0] == "docs":
            path = Path(*path.parts[1:])
        if path.is_relative_to(CARDS):
            path = Path("cards") / path.name
        if path.name == "README.md" and len(path.parts) > 1:
            path = path.parent / "index.md"
        return path.with_suffix("").as_posix().lower()


@dataclass(frozen=True)
class Section:
    """A part of the navigation."""

    title: str
    about: str
    pages: tuple[Page, ...]


def sections() -> list[Section]:
    """What docs/site/pages.toml lists, with a page for each model's card."""
    with (SITE / "pages.toml").open("rb") as file:
        listed: list[dict[str, Any]] = tomllib.load(file)["sections"]
    found = []
    for section in listed:
        pages = [Page(**page) for page in section["pages"]]
        if section.get("cards"):
            cards = sorted((ROOT / CARDS).glob("*.md"))
            pages += [
                Page(card.relative_to(ROOT).as_posix(), card.stem, "its card") for card in cards
            ]
        found.append(Section(section["title"], section["about"], tuple(pages)))
    return found


def contents() -> str:
    """docs/README.md: the same navigation for readers on GitHub."""
    parts = ["# Documentation\n\nWritten by `make docs` from `docs/site/pages.toml`.\n"]
    for section in sections():
        rows = [
            f"| [{page.title}]({os.path.relpath(page.file, 'docs')}) | {page.about} |"
            for page in section.pages
        ]
        table = "\n".join(["| page | about |", "|---|---|", *rows])
        parts.append(f"## {section.title}\n\n{section.about}\n\n{table}\n")
    return "\n".join(parts)


def outside_code(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of Markdown in their order, and whether each is code."""
    end = 0
    for match in CODE.finditer(text):
        yield text[end : match.start()], False
        yield match[0], True
        end = match.end()
    yield text[end:], False


def with_links(text: str, file: str, name: str, copies: dict[str, str], target: Path) -> str:
    """A page whose links lead to the copies of what they led to.

    Args:
        file: the page's path from the root.
        name: its name on the site.
        copies: path from the root -> name on the site, of every page.
        target: folder of the copies; files that a page shows or links to are copied there.

    A link to a folder of the repository, which the site does not have, becomes plain text.
    """
    here = Path(name).parent

    def copied(link: str) -> str | None:
        """Where the file that a link means is on the site; None for a folder."""
        path = Path(os.path.normpath(ROOT / Path(file).parent / link)).relative_to(ROOT)
        if path.as_posix() in copies:
            return os.path.relpath(copies[path.as_posix()] + ".md", here)
        if (ROOT / path).is_dir():
            return None
        if path.suffix == ".md":
            raise ValueError(f"{file}: {path} is no page: enter it in docs/site/pages.toml")
        copy = target / "files" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)
        return os.path.relpath(Path("files") / path, here)

    def link(match: re.Match[str]) -> str:
        mark, words, where = match.groups()
        words = LINK.sub(link, words)  # a picture that is a link
        path, hash_mark, anchor = where.partition("#")
        if not path or re.match(r"[a-z]+:", where):
            return f"{mark}[{words}]({where})"
        copy = copied(path)
        return words if copy is None else f"{mark}[{words}]({copy}{hash_mark}{anchor})"

    # Links may have code in their words: code is hidden behind marks meanwhile.
    codes: list[str] = []
    pieces = []
    for piece, is_code in outside_code(text):
        if is_code:
            codes.append(piece)
            piece = f"\0{len(codes) - 1}\0"
        pieces.append(piece)
    changed = LINK.sub(link, "".join(pieces))
    changed = IMAGE.sub(lambda match: f'<img src="{copied(match[1])}"', changed)
    return re.sub("\0(\\d+)\0", lambda match: codes[int(match[1])], changed)


def navigation() -> str:
    """Sphinx's list of the pages in each section, for the start page; shown at the side alone."""
    parts = []
    for section in sections():
        lines = [f"{page.title} <{page.name}>" for page in section.pages]
        body = "\n".join([f":caption: {section.title}", ":hidden:", "", *lines])
        parts.append(f"```{{toctree}}\n{body}\n```\n")
    return "\n".join(parts)


def stage(target: Path) -> list[str]:
    """Write Sphinx's source folder; returns the names of the pages."""
    copies = {"README.md": "index", "docs/README.md": "index"}
    copies |= {page.file: page.name for section in sections() for page in section.pages}
    shutil.rmtree(target, ignore_errors=True)
    for file, name in copies.items():
        if file == "docs/README.md":  # the start page has its navigation
            continue
        copy = target / f"{name}.md"
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = with_links((ROOT / file).read_text(encoding="utf-8"), file, name, copies, target)
        copy.write_text(text + ("\n" + navigation() if name == "index" else ""), encoding="utf-8")
    shutil.copyfile(SITE / "conf.py", target / "conf.py")
    (target / "_static").mkdir()
    shutil.copyfile(SITE / "site.css", target / "_static" / "site.css")
    return sorted(set(copies.values()))


def foreign_loads(folder: Path) -> list[str]:
    """Scripts, styles, fonts and pictures that pages would load from another place."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".css"):
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(folder)}: {match[0]}" for match in LOADED.finditer(text)]
    return found


def lost_pictures(folder: Path) -> list[str]:
    """Pictures that a page shows and the site does not have; Sphinx looks at no HTML of a page."""
    return [
        f"{page.relative_to(folder)}: no picture {source}"
        for page in sorted(folder.rglob("*.html"))
        for source in PICTURE.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / unquote(source)).is_file()
    ]


def main() -> int:
    """Build the site; returns the exit code."""
    from sphinx.cmd.build import build_main

    source, out = ROOT / "build" / "site-source", ROOT / "build" / "site"
    shutil.rmtree(out, ignore_errors=True)
    names = stage(source)
    options = ["-b", "html", "-W", "--keep-going", "-q", "-E", "-d", str(ROOT / "build/site-cache")]
    if code := build_main([*options, str(source), str(out)]):
        return code
    missing = [name for name in names if not (out / f"{name}.html").is_file()]
    problems = [f"{name}: not built" for name in missing]
    if problems := problems + foreign_loads(out) + lost_pictures(out):
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    print(f"wrote {len(names)} pages: {(out / 'index.html').relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
