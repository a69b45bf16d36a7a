"""Writes what was measured into a document, between two lines that mark the place."""

from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import write_text


@dataclass(frozen=True)
class Markers:
    """The two lines, comments in Markdown."""

    begin: str
    end: str

    def write(self, document: Path, content: str) -> None:
        """Put ``content`` between the markers of ``document``.

        Raises:
            UsageError: it has no markers, or cannot be read.
        """
        before, after = self.around(document)
        write_text(document, f"{before}{self.begin}\n\n{content}\n\n{self.end}{after}")

    def around(self, document: Path) -> tuple[str, str]:
        """What stands before and after the markers of ``document``.

        Raises:
            UsageError: it has no markers, or cannot be read.
        """
        try:
            text = document.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{document}: expected a document in Markdown: {error}") from error
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise UsageError(f"{document}: expected the lines {self.begin!r} and {self.end!r}")
        return before, after
