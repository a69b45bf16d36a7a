"""Which pictures of a data set are the same one: the same bytes, stored anew, or mirrored.

What is known of each picture takes a hundred bytes of memory; thumbnails lie outside of it.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.spool import Rows
from asmnet_kit.datasets.base import Face
from asmnet_kit.datasets.face_groups import FaceGroups
from asmnet_kit.face.pictures import Image

THUMB = 32  # pixels a side
SAME_GREY = 1.5  # mean grey levels between thumbnails: a JPEG stored anew differs by less than 1
SAME_SHAPE = 0.02  # between the ratios of width to height
FLAT = 24  # grey levels: a picture with fewer shows nothing by which it could be known
MOST_ALIKE = 50  # candidates looked at for each band, so that thousands alike take no hour
BLOCKS = 8, 9  # rows and columns of a thumbnail, whose neighbours are compared
BANDS, KEYS = 4, 1 << 16  # of two rows with eight comparisons each
ROUNDED = 1.0  # grey levels by which rounding can move the difference of two blocks
AT_ONCE = 1024  # thumbnails that are read together
DIGEST, UNREAD = np.dtype("V32"), bytes(32)


@dataclass(frozen=True)
class Duplicate:
    """Different files with the same picture.

    Attributes:
        pictures: names of their first faces.
        across_splits: whether they are in different splits, so that a test would be answered by
            memory.
        kind: ``same`` bytes, the same ``pixels`` stored anew, or ``mirrored``.
    """

    pictures: tuple[str, ...]
    across_splits: bool
    kind: str = "same"


def thumbnail(image: Image) -> NDArray[np.uint8]:
    """A picture as uint8 [THUMB, THUMB] grey values, by which the same one is known again."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)


Pair = tuple[int, int, str]  # numbers of two pictures, and how the second is like the first


class Pictures:
    """What tells pictures apart: of each a digest and a size, its thumbnail outside of memory.

    Candidates for the same picture agree in one of the bands of their rows' differences; the
    thumbnails then decide, unless their blocks differ too much already.
    """

    def __init__(self, faces: FaceGroups) -> None:
        self._faces = faces
        self._thumbnails = Rows(np.uint8, (THUMB, THUMB))
        self._digests = Rows(DIGEST)
        self._sizes = Rows(np.int32, (2,))  # 0 of a picture that cannot be decoded

    def add(
        self, digest: bytes, width: int, height: int, thumbnail: NDArray[np.uint8] | None
    ) -> None:
        """The next picture.

        Args:
            digest: sha256 of its bytes; empty where they cannot be read.
            width, height, thumbnail: 0 and None of a picture that cannot be decoded.
        """
        shown = np.zeros((THUMB, THUMB), np.uint8) if thumbnail is None else thumbnail
        self._thumbnails.append(shown[None])
        self._digests.append(np.frombuffer(digest or UNREAD, DIGEST))
        self._sizes.append(np.array([[width, height]]))

    @property
    def sizes(self) -> NDArray[np.int32]:
        """int32 [M, 2], width and height of those that can be decoded."""
        sizes = self._sizes.all()
        return sizes[sizes[:, 0] > 0]

    def faces(self, number: int) -> list[Face]:
        """The faces of a picture."""
        return self._faces[number]

    def width(self, number: int) -> int:
        """Of a picture, pixels."""
        return int(self._sizes.row(number)[0])

    def same(self) -> Iterator[Duplicate]:
        """Files with the same bytes."""
        digests = self._digests.all()
        _, first, which, count = np.unique(
            digests, return_index=True, return_inverse=True, return_counts=True
        )
        together = np.split(np.argsort(which, kind="stable"), np.cumsum(count)[:-1])
        for group in np.argsort(first).tolist():
            if count[group] > 1 and digests[first[group]].tobytes() != UNREAD:
                numbers = together[group].tolist()
                splits = {face.split for number in numbers for face in self.faces(number)}
                names = tuple(self.faces(number)[0].name for number in numbers)
                yield Duplicate(names, across_splits=len(splits) > 1)

    def alike(self) -> Iterator[Pair]:
        """Pictures that were stored anew, or mirrored; those of the same bytes are known."""
        digests, sizes = self._digests.all(), self._sizes.all()
        shape = sizes[:, 0] / np.maximum(sizes[:, 1], 1)
        for kind in ("pixels", "mirrored"):
            blocks = np.zeros((len(sizes), *BLOCKS), np.uint8)
            buckets = _Buckets(len(sizes))
            for number, picture in enumerate(
                row for part in self._thumbnails.parts(AT_ONCE) for row in part
            ):
                if np.ptp(picture) < FLAT:
                    continue
                blocks[number] = _blocks(picture)
                looked_for = picture[:, ::-1] if kind == "mirrored" else picture
                wanted = _blocks(looked_for)
                others = np.array(buckets.candidates(_bands(wanted)), np.int64)
                near = (digests[others] != digests[number]) & (
                    np.abs(shape[others] - shape[number]) < SAME_SHAPE
                )
                others = others[near]
                apart = np.abs(blocks[others].astype(np.int16) - wanted).mean(axis=(1, 2))
                for other in others[apart < SAME_GREY + ROUNDED].tolist():
                    difference = np.abs(self._thumbnails.row(other).astype(np.int16) - looked_for)
                    if float(difference.mean()) < SAME_GREY:
                        yield other, number, kind
                buckets.add(number, _bands(blocks[number]))

    def pair(self, one: int, other: int, kind: str) -> Duplicate:
        """Two pictures that are alike, in words."""
        of_one, of_other = self.faces(one), self.faces(other)
        splits = {face.split for face in (*of_one, *of_other)}
        return Duplicate((of_one[0].name, of_other[0].name), len(splits) > 1, kind)


class _Buckets:
    """Pictures by what they have in a band: the first ``MOST_ALIKE`` of each, in linked lists."""

    def __init__(self, pictures: int) -> None:
        self._first, self._last = (
            [array("i", [-1]) * KEYS for _ in range(BANDS)] for _ in range(2)
        )
        self._count = [bytearray(KEYS) for _ in range(BANDS)]
        self._next = [array("i", [-1]) * pictures for _ in range(BANDS)]

    def add(self, number: int, keys: Sequence[int]) -> None:
        """A picture with a key for each band."""
        for band, key in enumerate(keys):
            if self._count[band][key] == MOST_ALIKE:
                continue
            self._count[band][key] += 1
            if self._first[band][key] < 0:
                self._first[band][key] = number
            else:
                self._next[band][self._last[band][key]] = number
            self._last[band][key] = number

    def candidates(self, keys: Sequence[int]) -> list[int]:
        """The pictures with one of these keys, each once."""
        found: dict[int, None] = {}
        for band, key in enumerate(keys):
            number = self._first[band][key]
            while number >= 0:
                found[number] = None
                number = self._next[band][number]
        return list(found)


def _blocks(thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [8, 9]: the mean of each block."""
    blocks = cv2.resize(thumbnail, BLOCKS[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(blocks, np.uint8)


def _bands(blocks: NDArray[np.uint8]) -> list[int]:
    """Which of neighbouring blocks is lighter, in four bands from top to bottom, 16 bits each."""
    bits = np.packbits(blocks[:, 1:] > blocks[:, :-1], axis=1)
    keys: list[int] = bits.reshape(BANDS, 2).view(np.uint16)[:, 0].tolist()
    return keys
