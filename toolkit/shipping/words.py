"""What a person says about a model of the kit: a TOML file of words, without figures."""

import re
from dataclasses import dataclass, fields
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.reading import read_toml
from asmnet_kit.shipping.shipped import LICENCES

# What a person may not write into a card: sizes, times and shares are measured.
FIGURE = re.compile(r"\d[\d.,]*\s*(%|percent\b|ms\b|KB\b|MB\b|°|degrees\b)")


@dataclass(frozen=True)
class Words:
    """What a person says about a model; no figures.

    Attributes:
        summary: one line.
        default: whether ``predict`` uses it by default.
        licence: of the weights, one of ``LICENCES``.
        trained_on, terms, use: paragraphs of Markdown.
        failures: what is known to go wrong.
        sets: what the data sets are that it was measured on, by their names in the measurements.
        variant: tells its file from another of the same architecture, points, size and recipe:
            ``<architecture>_<variant>_<points>_<size>_<recipe>.tflite``. Optional.
    """

    summary: str
    default: bool
    licence: str
    trained_on: str
    terms: str
    use: str
    failures: tuple[str, ...]
    sets: dict[str, str]
    variant: str = ""

    @classmethod
    def read(cls, path: Path) -> "Words":
        """The words in a TOML file.

        Raises:
            UsageError: no TOML, keys missing or unknown, an unknown licence, or a figure.
        """
        try:
            content = read_toml(path)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: expected the words of a card as TOML: {error}") from error
        expected = {field.name: field.type for field in fields(cls)}
        if set(content) | {"variant"} != set(expected):
            raise UsageError(
                f"{path}: expected the keys {', '.join(expected)}; "
                f"got {', '.join(content) or 'none'}"
            )
        words = cls(**{**content, "failures": tuple(content["failures"])})
        if words.variant and not re.fullmatch("[a-z]+", words.variant):
            raise UsageError(f"{path}: expected a variant of small letters, got {words.variant!r}")
        if words.licence not in LICENCES:
            raise UsageError(
                f"{path}: expected a licence of {', '.join(LICENCES)}, got {words.licence!r}"
            )
        for text in (words.summary, words.trained_on, words.terms, words.use, *words.failures):
            figure = FIGURE.search(text)
            if figure:
                raise UsageError(
                    f"{path}: expected words without figures, got {figure.group()!r}: "
                    "what can be measured comes from a measurement"
                )
        return words
