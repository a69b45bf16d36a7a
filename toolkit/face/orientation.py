"""From the upright photograph to the one that is stored: EXIF's eight orientations.

Viewers show the upright picture, and ``predict`` speaks of it; labels of data sets refer to the
stored pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.boxes import Box
from asmnet_kit.face.crop import Points
from asmnet_kit.face.pictures import TURNS
from asmnet_kit.face.pose import mirrored_pose, rotated_in_plane
from asmnet_kit.face.schemes import Scheme


@dataclass(frozen=True)
class StoredPicture:
    """How a picture lies in its file.

    Attributes:
        orientation: EXIF's, 1 (upright) to 8.
        width, height: of the *upright* picture, pixels.
    """

    orientation: int
    width: int
    height: int

    @property
    def is_mirrored(self) -> bool:
        """Whether the stored picture is a mirror image."""
        return sum(TURNS[self.orientation]) % 2 == 1

    def points(self, upright: Points, scheme: Scheme) -> Points:
        """Landmarks of the stored picture: in a mirror image the pairs swap.

        Args:
            upright: float32 [N, 2], pixels of the upright picture.
        """
        return self._moved(self.of_each_point(upright, scheme))

    def of_each_point(self, values: NDArray[np.float32], scheme: Scheme) -> NDArray[np.float32]:
        """What is known of each landmark, [N, ...], in the order of ``points``."""
        return values[scheme.mirror] if self.is_mirrored else values

    def box(self, upright: Box) -> Box:
        """x0, y0, x1, y1 of the same region of the stored picture, pixels."""
        corners = self._moved(upright.reshape(2, 2))
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])

    def pose(self, upright: NDArray[np.float32]) -> NDArray[np.float32]:
        """Yaw, pitch and roll, degrees, of the head in the stored picture."""
        pose = mirrored_pose(upright) if self.is_mirrored else upright
        centre, above = self._moved(np.array([[0, 0], [0, -1]], np.float32))
        x, y = (above - centre).tolist()
        return rotated_in_plane(pose, float(np.degrees(np.arctan2(x, -y))))

    def _moved(self, points: Points) -> Points:
        """[K, 2] of the upright picture where they are in the stored one."""
        flip_x, flip_y, swap = TURNS[self.orientation]
        x, y = points[:, 0], points[:, 1]
        width, height = self.width, self.height
        if swap:
            x, y, width, height = y, x, height, width
        x = width - 1 - x if flip_x else x
        y = height - 1 - y if flip_y else y
        return np.stack([x, y], axis=-1).astype(np.float32)
