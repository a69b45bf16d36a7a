"""From the face mesh to 68 and 98 landmarks: a linear map, learnt on rendered people alone.

A rendered person's landmarks are exact, and the mesh can be run on its picture. The map is a ridge
regression from the mesh's 936 coordinates to the landmarks', both in the mesh's eye frame, so it
knows nothing of any labelled photograph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.adapters.linear_map import LinearMap
from asmnet_kit.base.cores import usable_cores
from asmnet_kit.base.workers import shared_out
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.schemes import Scheme, scheme_of
from asmnet_kit.people.render import draw
from asmnet_kit.training.studies.portraits.face_mesh import OUTER_EYES, FaceMesh

Array = NDArray[np.float64]

SEED, SIZE = 77, 224  # of the people that the map is learnt on
RIDGE = 3.0
MAX_YAW = 55.0  # degrees: further round the mesh is no longer reliable
MIN_SCORE = 0.5
COUNTS = (68, 98)
AT_ONCE = 20  # people that a process draws before it answers


@dataclass(frozen=True, eq=False)
class MeshMap:
    """From the mesh to 68 and 98 landmarks, which ``both`` gives one after the other."""

    both: LinearMap

    def landmarks(self, mesh: Array) -> dict[int, Array]:
        """68 and 98 landmarks in pixels: [N, 2] each."""
        found = self.both(mesh[None, :, :2])[0]
        return {68: found[:68], 98: found[68:]}

    def of_both(self, mesh: Array, mirrored: Array) -> tuple[dict[int, Array], float]:
        """The mean of a picture's and its mirror image's landmarks, and how far apart they are.

        Args:
            mesh, mirrored: as ``FaceMesh.both_ways`` gives them.

        Returns:
            Landmarks by their number, and the mean distance of the two sets of 68 in percent of the
            distance between the outer eye corners.
        """
        straight, other = self.landmarks(mesh), self.landmarks(_flipped(mirrored))
        turned = {n: _swapped(points, scheme_of(n)) for n, points in other.items()}
        middle = {n: (straight[n] + turned[n]) / 2 for n in COUNTS}
        left, right = scheme_of(68).outer_eye_corners
        eyes = np.linalg.norm(middle[68][left] - middle[68][right])
        apart = np.linalg.norm(straight[68] - turned[68], axis=1).mean()
        return middle, float(100 * apart / eyes)


def _flipped(points: Array) -> Array:
    """Mirrored about x = 0."""
    return np.asarray(points * [-1, 1, 1][: points.shape[1]])


def _swapped(points: Array, scheme: Scheme) -> Array:
    return _flipped(points)[scheme.mirror]


def learn(model: Path, *, count: int) -> MeshMap:
    """Render ``count`` people, run the mesh on them and fit the map."""
    begin, workers = partial(_begin, model), usable_cores()
    with shared_out(
        begin, range(count), workers=workers, doing="draws people", at_once=AT_ONCE
    ) as answers:
        seen = [pair for pair in answers if pair is not None]
    meshes, landmarks = zip(*seen, strict=True)
    return MeshMap(LinearMap.fit(meshes, landmarks, anchors=OUTER_EYES, ridge=RIDGE))


def _begin(model: Path) -> Callable[[int], tuple[Array, Array] | None]:
    """In a process of its own: gives mesh [468, 2] and landmarks [68 + 98, 2] of a person, pixels;
    None where the mesh is not reliable."""
    mesh_of = FaceMesh(model)

    def seen(index: int) -> tuple[Array, Array] | None:
        person = draw(SEED, index, SIZE)
        mesh, score = mesh_of(person.image, landmark_box(person.landmarks68))
        if score < MIN_SCORE or abs(person.pose[0]) > MAX_YAW:
            return None
        both = np.concatenate([person.landmarks68, person.landmarks98]).astype(np.float64)
        return mesh[:, :2], both

    return seen
