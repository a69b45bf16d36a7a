"""How many threads decode pictures at the same time."""

import threading
import time
from typing import Any

import cv2
import pytest


class WatchedDecoding:
    """Counts the threads that are inside ``cv2.imdecode``, which takes a little longer meanwhile.

    Attributes:
        most: the largest number of them so far.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        self._decode, self._inside = cv2.imdecode, set[int]()
        monkeypatch.setattr(cv2, "imdecode", self._watched)

    def _watched(self, *arguments: Any) -> Any:
        self._inside.add(threading.get_ident())
        self.most = max(self.most, len(self._inside))
        time.sleep(0.01)
        decoded = self._decode(*arguments)
        self._inside.discard(threading.get_ident())
        return decoded
