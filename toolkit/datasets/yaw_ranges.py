"""Subsets by the range of the yaw, which several formats share."""

# Results on AFLW2000-3D are published for these ranges of |yaw|, degrees.
YAW_RANGES = ((0, 30), (30, 60), (60, 90))


def yaw_subsets(yaw: float) -> tuple[str, ...]:
    """``yaw_0_30``, ``yaw_30_60`` or ``yaw_60_90`` by the size of the yaw in degrees, or none."""
    return tuple(f"yaw_{low}_{high}" for low, high in YAW_RANGES if low <= abs(yaw) < high)
