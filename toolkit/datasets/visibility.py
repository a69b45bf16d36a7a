"""Which landmarks can be seen, as synthetic data sets write it: a letter for each point.

    {"68": "vvvvsss...", "98": "vvvv..."}

``v`` can be seen; ``s`` is hidden by the head itself (self-occluded); ``o`` is hidden by something
else: hair, glasses, a hand. A point that both hide is ``s``.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import parse_json

SEEN, BY_ITSELF, BY_OTHERS = "v", "s", "o"
SUFFIX = ".vis.json"  # of the file beside a picture
FILE_END = b"}\n"  # what a file that was written whole ends with


def marks_of(self_occluded: NDArray[np.bool_], occluded: NDArray[np.bool_]) -> str:
    """The letters of N points.

    Args:
        self_occluded: bool [N], hidden by the head itself.
        occluded: bool [N], hidden by something else.
    """
    return "".join(np.where(self_occluded, BY_ITSELF, np.where(occluded, BY_OTHERS, SEEN)))


def visibility_of(marks: str) -> NDArray[np.float32]:
    """float32 [N]: 1 for what can be seen, 0 for what is hidden.

    Raises:
        DatasetError: another letter.
    """
    if other := set(marks) - {SEEN, BY_ITSELF, BY_OTHERS}:
        raise DatasetError(
            f"expected marks {SEEN}, {BY_ITSELF} and {BY_OTHERS}, got {sorted(other)[0]!r}"
        )
    return np.array([mark == SEEN for mark in marks], np.float32)


def format_marks(marks: Mapping[int, str]) -> str:
    """The text of a file: number of points -> their letters."""
    return json.dumps({str(points): letters for points, letters in marks.items()}) + "\n"


def parse_marks(text: str, *, points: int) -> NDArray[np.float32]:
    """``visibility_of`` the ``points`` landmarks in a file's text.

    Raises:
        DatasetError: the reason, without the file's name.
    """
    try:
        content: Any = parse_json(text)
    except ValueError as error:
        raise DatasetError(f"expected JSON: {error}") from error
    marks = content.get(str(points)) if isinstance(content, dict) else None
    if not isinstance(marks, str) or len(marks) != points:
        raise DatasetError(f"expected {points} letters under the key {str(points)!r}")
    return visibility_of(marks)
