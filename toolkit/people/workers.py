"""Processes that draw people while the caller does something else.

Who draws a person changes nothing: it depends on (seed, number) alone.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Lock

from asmnet_kit.base.cores import usable_cores
from asmnet_kit.base.errors import KitError, one_line
from asmnet_kit.base.workers import Workers, answer_of
from asmnet_kit.datasets.base import Face
from asmnet_kit.datasets.visibility import visibility_of
from asmnet_kit.datasets.yaw_ranges import yaw_subsets
from asmnet_kit.face.pictures import Image, encode_png
from asmnet_kit.people.render import draw
from asmnet_kit.people.write import PEOPLE, marks_of_person


@dataclass(frozen=True)
class Sitting:
    """Which people are drawn, and how.

    Attributes:
        seed: of the people.
        size: side of the pictures, pixels.
        points: landmarks, 68 or 98.
    """

    seed: int
    size: int
    points: int

    def name_of(self, number: int) -> str:
        """All that the person depends on, so that names tell different people apart."""
        return f"{PEOPLE.kind}_v{PEOPLE.version}/{self.size}px/seed_{self.seed}/{number:010d}"

    def face(self, number: int) -> Face:
        """Person ``number``, its picture in memory."""
        person = draw(self.seed, number, self.size)
        return Face(
            name=self.name_of(number),
            picture=DrawnPicture(self.name_of(number), person.image),
            landmarks=person.landmarks68 if self.points == 68 else person.landmarks98,
            pose=person.pose,
            subsets=yaw_subsets(float(person.pose[0])),
            visibility=visibility_of(marks_of_person(person)[self.points]),
        )


@dataclass(frozen=True, eq=False)
class DrawnPicture:
    """A picture in memory (``asmnet_kit.datasets.base.Picture``): uint8 [S, S, 3], RGB."""

    name: str
    image: Image

    def size_bytes(self) -> int:
        return int(self.image.nbytes)

    def read(self) -> Image:
        return self.image

    def read_encoded(self) -> bytes:
        return encode_png(self.image, name=self.name)


class RenderWorkers(Workers[int, Face]):
    """Processes that draw the people of one sitting; a context manager, which ends them.

    ``submit`` gives person ``number``; its result raises KitError where the process ends or cannot
    draw it.
    """

    def __init__(self, sitting: Sitting, *, workers: int | None = None) -> None:
        """Start them.

        Args:
            workers: how many; None = one per usable core.
        """
        super().__init__(
            partial(_painter, sitting), workers=workers or usable_cores(), doing="draws people"
        )

    def __enter__(self) -> "RenderWorkers":
        return self

    def faces(
        self, numbers: Sequence[int], *, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Face]:
        """The people of these numbers, in this order.

        Args:
            progress: called with (done, in all).

        Raises:
            KitError: as ``submit``.
        """
        for done, face in enumerate(self.in_order(numbers), start=1):
            yield face
            if progress is not None:
                progress(done, len(numbers))


def _painter(sitting: Sitting) -> Callable[[int], Face]:
    return partial(_face, sitting)


def _face(sitting: Sitting, number: int) -> Face:
    """
    Raises:
        KitError: the person cannot be drawn.
    """
    try:
        return sitting.face(number)
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        raise KitError(f"{sitting.name_of(number)} cannot be drawn: {why}") from error


class Ahead:
    """People in a known order, drawn before they are asked for: the bounded queue of a training.

    At most ``ahead`` people are drawn, or being drawn, whom nobody has taken.
    """

    def __init__(self, workers: RenderWorkers, *, ahead: int) -> None:
        self._workers, self._ahead = workers, ahead
        self._lock = Lock()
        self._waiting: dict[int, Future[Face]] = {}
        self._begin(iter(()))

    def _begin(self, order: Iterator[int]) -> None:
        self._order, self._front = order, -1

    def follow(self, order: Iterator[int]) -> None:
        """From now on draw what ``order`` gives, ascending numbers; what is there already is kept.

        People whom the order has passed are forgotten.
        """
        with self._lock:
            first = next(order)
            for number in [number for number in self._waiting if number < first]:
                self._waiting.pop(number).cancel()
            self._begin(itertools.chain([first], order))

    def take(self, number: int) -> Face:
        """Person ``number``; waits until it is drawn. Several threads may ask at once.

        Raises:
            KitError: as ``answer_of``.
        """
        with self._lock:
            while self._front < number or len(self._waiting) < self._ahead:
                following = next(self._order, None)
                if following is None:
                    break
                self._front = following
                if following not in self._waiting:
                    self._waiting[following] = self._workers.submit(following)
            future = self._waiting.pop(number, None) or self._workers.submit(number)
        return answer_of(future)
