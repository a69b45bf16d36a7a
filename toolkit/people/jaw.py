"""Which points of the jaw the head itself hides.

The depth test of other landmarks does not serve here. A jaw label lies on the outline of the face,
where the skin is seen edge-on, and ``placement`` moves it off the skin, to where annotators put it.
So each convention (``labels``) has a rule of its own:

* *visible contour*: a point is hidden where its side of the jaw is turned away, so far that the
  outline it is marked on is the cheek's rather than the jaw's. Each place of the jaw faces a fixed
  way (``_facing``); it is turned away where that points more than TURNED_AWAY_DEG behind the plane
  across the line of sight, the head's nod taken out: a lowered chin is still the face's outline.
* *3-D*: a point is hidden where its place on the mesh cannot be seen: the skin there faces away, or
  lies behind other skin.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.assets import load
from asmnet_kit.people.body import head_triangles
from asmnet_kit.people.camera import Camera
from asmnet_kit.people.labels import JAW, jaw_mixed
from asmnet_kit.people.raster import vertex_normals
from asmnet_kit.people.shape import mean_head
from asmnet_kit.people.surface import unit

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

# With 30 degrees the far side of a head of mean shape, seen from far away, is hidden from 40 to 47
# degrees of yaw on from the ear to half-way to the chin, from 63 a quarter of the way from the
# chin; next to the chin never.
TURNED_AWAY_DEG = 30.0
EDGE_ON_DEG = 10.0  # skin that faces away by less is taken as seen: normals are interpolated
SPREAD = 4  # the 33 places' normals are averaged over so many neighbours on either side


@lru_cache(maxsize=1)
def _facing() -> Array:
    """The way each of the 33 places faces on the mean head: unit, float32 [33, 3].

    Averaged along the jaw: the mandible's corner faces more to the side than the skin beside the
    ear, but the whole side turns away as one.
    """
    order, skin = head_triangles()
    normals = jaw_mixed(vertex_normals(mean_head(), load().triangles[order[:skin]]))
    summed = np.stack(
        [normals[max(i - SPREAD, 0) : i + SPREAD + 1].sum(axis=0) for i in range(JAW)]
    )
    return unit(summed)


def turned_away(jaw: Array, camera: Camera) -> Flags:
    """Which of the 33 points are hidden by the head, in the visible-contour convention.

    Args:
        jaw: float32 [33, 3], their places on the mesh, camera coordinates.
    """
    view = _view(jaw, camera) @ camera.rotation  # in the head's frame
    view[:, 1] = 0
    return np.asarray(_cosine(_facing(), unit(view)) < -np.sin(np.radians(TURNED_AWAY_DEG)))


def facing_away(jaw: Array, normals: Array, camera: Camera) -> Flags:
    """At which of the 33 places the skin faces away from the camera.

    Args:
        jaw: float32 [33, 3], camera coordinates.
        normals: float32 [V, 3], of the head's vertices there.
    """
    cosine = _cosine(unit(jaw_mixed(normals)), _view(jaw, camera))
    return np.asarray(cosine < -np.sin(np.radians(EDGE_ON_DEG)))


def _view(points: Array, camera: Camera) -> Array:
    """Unit vectors [N, 3] from points in camera coordinates to the camera."""
    view = -points
    view[:, 2] -= np.float32(camera.distance)
    return unit(view)


def _cosine(one: Array, other: Array) -> Array:
    found: Array = np.einsum("ij,ij->i", one, other)
    return found
