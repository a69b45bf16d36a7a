"""Faces in groups that are made when they are asked for: by picture, or so many at a time."""

import hashlib
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.datasets.base import Face


class FaceGroups(Sequence[list[Face]]):
    """Groups of faces.

    Args:
        faces: of which they are.
        members: int64 [F], the places of the faces, those of the first group first.
        ends: int64 [G], how many of ``members`` there are up to the end of each group.
    """

    def __init__(
        self, faces: Sequence[Face], members: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> None:
        self._faces, self._members, self._ends = faces, members, ends

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


def by_picture(faces: Sequence[Face]) -> FaceGroups:
    """The faces of each picture, in the order of the first ones."""
    # Names of a hundred thousand pictures are long; eight bytes tell them apart.
    keys = np.fromiter((_key(face.picture.name) for face in faces), np.uint64, len(faces))
    _, first, picture = np.unique(keys, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    sizes = np.bincount(rank[picture], minlength=len(first))
    return FaceGroups(faces, np.argsort(rank[picture], kind="stable"), np.cumsum(sizes))


def at_a_time(faces: Sequence[Face], size: int) -> FaceGroups:
    """So many faces at a time, in their order."""
    ends = np.minimum(np.arange(size, len(faces) + size, size), len(faces))
    return FaceGroups(faces, np.arange(len(faces)), ends)


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
