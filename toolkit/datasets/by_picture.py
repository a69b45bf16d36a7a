"""The faces of each picture together, so that every picture is read once."""

import hashlib
from collections.abc import Sequence
from typing import overload

import numpy as np

from asmnet_kit.datasets.base import Face


class FacesByPicture(Sequence[list[Face]]):
    """The faces of each picture, in the order of the first ones; by numbers until asked for."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self._faces = faces
        # Names of a hundred thousand pictures are long; eight bytes tell them apart.
        keys = np.fromiter((_key(face.picture.name) for face in faces), np.uint64, len(faces))
        _, first, picture = np.unique(keys, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        self._members = np.argsort(rank[picture], kind="stable")
        self._ends = np.cumsum(np.bincount(rank[picture], minlength=len(first)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> list[Face]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[list[Face]]: ...

    def __getitem__(self, index: int | slice) -> list[Face] | Sequence[list[Face]]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        start = self._ends[number - 1] if number else 0
        return [self._faces[int(face)] for face in self._members[start : self._ends[number]]]


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
