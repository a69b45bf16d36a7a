"""What ``pose_study`` measures of each way to a pose, and its tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.datasets.yaw_ranges import YAW_RANGES
from asmnet_kit.face.metrics import pose_errors
from asmnet_kit.face.pose import generic_face, pose_from_landmarks, rotation_matrix, wrapped
from asmnet_kit.face.schemes import SCHEME_68, Scheme
from asmnet_kit.people.labels import IN_68, OF_98
from asmnet_kit.people.placement import offsets_68, offsets_98
from asmnet_kit.training.studies.pose_networks import Answers

Array = NDArray[np.float64]

SCHEMA_VERSION = 1
DRAWS, INTERVAL = 2000, (2.5, 97.5)  # of the bootstrap; percentiles

Ranges = Mapping[str, tuple[float, float]]  # title -> size of the yaw, from, to below, degrees
PEOPLE_RANGES: Ranges = {
    "all": (0, 181),
    **{f"{low} to {high}°": (low, high) for low, high in YAW_RANGES},
    "beyond 45°": (45, 181),
}
PHOTO_RANGES: Ranges = {"all": (0, 181), "to 30°": (0, 30), "beyond 30°": (30, 181)}


@dataclass(frozen=True, eq=False)
class Estimate:
    """Poses of B faces by one way.

    Attributes:
        title: in the tables.
        poses: float32 [S, B, 3] yaw, pitch, roll in degrees, one for each seed.
        weights: of a network that the model's file does not have yet.
    """

    title: str
    poses: NDArray[np.float32]
    weights: int | None = None

    def errors(self, truth: NDArray[np.floating]) -> Array:
        """float64 [S, B]: mean of the three angles' errors, degrees."""
        return np.asarray(pose_errors(self.poses, truth).mean(axis=2), np.float64)


def mean_of(first: Estimate, second: Estimate) -> Estimate:
    """The mean of two estimates' angles, the shorter way round."""
    half = wrapped(second.poses - first.poses) / 2
    title = f"mean of {first.title} and {second.title.removeprefix('– ')}"
    return Estimate(title, wrapped(first.poses + half).astype(np.float32), second.weights)


def marked_face(scheme: Scheme) -> Array:
    """The generic face, its points moved to where annotators put them: float64 [N, 3], millimetres.

    By the table of what every face has (asmnet_kit.people.placement), with which rendered people
    are labelled, too.
    """
    moves = offsets_68(SCHEME_68.mirror)
    if scheme.points != SCHEME_68.points:
        moves = offsets_98(moves, IN_68, OF_98)
    return generic_face(scheme.points) + moves


def fitted_poses(
    landmarks: NDArray[np.floating], scheme: Scheme, face: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """``pose_from_landmarks`` of B faces, float32 [B, 3]; NaN where there is none."""
    unknown = np.full(3, np.nan, np.float32)
    poses = [pose_from_landmarks(points, scheme, face=face) for points in landmarks]
    return np.stack([unknown if pose is None else pose for pose in poses])


def rotation_errors(poses: NDArray[np.floating], truth: NDArray[np.floating]) -> Array:
    """Degrees about one axis between two rotations: float64 [B] of poses [B, 3].

    In a full profile pitch and roll turn about the same axis, so that their errors say little.
    """
    turns = [
        rotation_matrix(*map(float, a)).T @ rotation_matrix(*map(float, b))
        for a, b in zip(poses, truth, strict=True)
    ]
    cosines = (np.trace(np.stack(turns), axis1=1, axis2=2) - 1) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))), np.float64)


def misfit(
    pose: NDArray[np.floating], labels: NDArray[np.floating], face: Array, scheme: Scheme
) -> float:
    """How far a face in a pose lies from labelled points when it is moved and scaled as fits best.

    Args:
        pose: [3] yaw, pitch, roll in degrees.
        labels: [N, 2], any unit; NaN where a point cannot be seen. The jaw's points are left out:
            where they lie depends on the outline that is seen.
        face: [N, 3], millimetres.

    Returns:
        Mean distance in percent of the longer side of the box around the labels.
    """
    used = np.isfinite(labels).all(axis=1)
    side = float(np.ptp(labels[used], axis=0).max())
    used[list(scheme.parts["jaw"])] = False
    turned = (face[used] @ rotation_matrix(*map(float, pose)).T)[:, :2]
    turned = turned - turned.mean(axis=0)
    points = labels[used] - labels[used].mean(axis=0)
    scale = (turned * points).sum() / (turned**2).sum()
    return float(100 * np.linalg.norm(scale * turned - points, axis=1).mean() / side)


def interval(values: Array, statistic: Callable[[Array], Array]) -> tuple[float, float]:
    """95 % bootstrap interval over faces.

    Args:
        values: [B, ...], of the faces.
        statistic: [draws, B, ...] resampled values -> [draws].
    """
    random = np.random.default_rng(0)
    drawn = statistic(values[random.integers(0, len(values), (DRAWS, len(values)))])
    low, high = np.percentile(drawn, INTERVAL)
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Report:
    """The figures of a study.

    Attributes:
        judged: ``people`` and maybe ``photos``: what the model says of the faces.
        estimates: by the same names.
    """

    scheme: Scheme
    judged: Mapping[str, Answers]
    estimates: Mapping[str, Sequence[Estimate]]

    def to_json(self) -> dict[str, Any]:
        """All figures by estimate and range of yaw."""
        document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "people": [self._on_people(estimate) for estimate in self.estimates["people"]],
        }
        if "photos" in self.judged:
            document["photos"] = self._on_photos()
        return document

    def _on_people(self, estimate: Estimate) -> dict[str, Any]:
        truth = self.judged["people"].truth
        reference = self.estimates["people"][0].errors(truth).mean(axis=0)
        errors = estimate.errors(truth)
        by_angle = pose_errors(estimate.poses, truth).mean(axis=0)
        rotation = np.mean([rotation_errors(poses, truth) for poses in estimate.poses], axis=0)
        by_range = {}
        for title, members in _members(truth[:, 0], PEOPLE_RANGES).items():
            both = np.stack([errors.mean(axis=0), reference], axis=1)[members]
            by_range[title] = {
                "faces": int(members.sum()),
                "degrees": float(both[:, 0].mean()),
                "interval": interval(both, lambda v: v[..., 0].mean(axis=1)),
                "seeds": [float(seed[members].mean()) for seed in errors],
                "angles": by_angle[members].mean(axis=0).tolist(),
                "rotation": float(rotation[members].mean()),
                "less_percent": float(_less(both[None])[0]),
                "less_interval": interval(both, _less),
            }
        return {"title": estimate.title, "weights": estimate.weights, "by_range": by_range}

    def _on_photos(self) -> list[dict[str, Any]]:
        labels = self.judged["photos"].labels
        faces = {"generic": generic_face(self.scheme.points), "marked": marked_face(self.scheme)}
        fits = {name: fitted_poses(labels, self.scheme, face) for name, face in faces.items()}
        known = np.isfinite(fits["generic"]).all(axis=1) & np.isfinite(fits["marked"]).all(axis=1)
        labelled = Estimate("solvePnP on the labels", fits["generic"][None])
        labelled_marked = Estimate("– face as annotators mark it", fits["marked"][None])
        rows = []
        for estimate in (*self.estimates["photos"], labelled, labelled_marked):
            by_range = {}
            for title, members in _members(fits["generic"][:, 0], PHOTO_RANGES).items():
                members = members & known & np.isfinite(estimate.poses).all(axis=(0, 2))
                if not members.any():
                    continue
                poses = estimate.poses[:, members]
                off = np.array(
                    [
                        np.mean([misfit(p, points, faces["marked"], self.scheme) for p in each])
                        for each, points in zip(
                            poses.transpose(1, 0, 2), labels[members], strict=True
                        )
                    ]
                )
                by_range[title] = {
                    "faces": int(members.sum()),
                    "misfit_percent": float(off.mean()),
                    "interval": interval(off, lambda v: v.mean(axis=1)),
                    **{
                        f"from_{name}": pose_errors(poses, fit[members]).mean(axis=(0, 1)).tolist()
                        for name, fit in fits.items()
                    },
                    **{
                        f"pitch_offset_{name}": float(
                            np.median(wrapped(poses[..., 1] - fit[members, 1]))
                        )
                        for name, fit in fits.items()
                    },
                }
            rows.append({"title": estimate.title, "by_range": by_range})
        return rows

    def text(self) -> str:
        """Markdown tables."""
        document = self.to_json()
        people = document["people"]
        counts = {t: found["faces"] for t, found in people[0]["by_range"].items()}
        heads = [f"{title} ({count})" for title, count in counts.items()]
        first = _table(
            ("mean error of the angles, degrees", "weights", *heads, "seeds"),
            [
                (
                    row["title"],
                    "" if row["weights"] is None else f"{row['weights']:,}",
                    *(f"{f['degrees']:.2f} ({_span(f['interval'])})" for f in _of(row)),
                    " ".join(f"{seed:.2f}" for seed in row["by_range"]["all"]["seeds"]),
                )
                for row in people
            ],
        )
        second = _table(
            ("less than the image head, %", *heads),
            [
                (
                    row["title"],
                    *(
                        f"{f['less_percent']:.1f} ({_span(f['less_interval'], 1)})"
                        for f in _of(row)
                    ),
                )
                for row in people[1:]
            ],
        )
        third = _table(
            ("yaw / pitch / roll; rotation", *heads),
            [
                (
                    row["title"],
                    *(
                        " / ".join(f"{a:.1f}" for a in f["angles"]) + f"; {f['rotation']:.1f}"
                        for f in _of(row)
                    ),
                )
                for row in people
            ],
        )
        tables = [first, second, third]
        if "photos" in document:
            tables.append(_photo_table(document["photos"]))
        return "\n".join(tables)


def _photo_table(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = {title: found["faces"] for title, found in rows[0]["by_range"].items()}
    return _table(
        (
            "misfit on the points that can be seen, % of the box",
            *(f"{title} ({count})" for title, count in counts.items()),
            "from the fit to the labels",
            "pitch above it",
            "from the fit, face as annotators mark it",
            "pitch above it",
        ),
        [
            (
                row["title"],
                *(f"{f['misfit_percent']:.2f} ({_span(f['interval'])})" for f in _of(row)),
                *(
                    cell
                    for name in ("generic", "marked")
                    for cell in (
                        " / ".join(f"{a:.1f}" for a in row["by_range"]["all"][f"from_{name}"]),
                        f"{row['by_range']['all'][f'pitch_offset_{name}']:.1f}",
                    )
                ),
            )
            for row in rows
        ],
    )


def _members(yaw: NDArray[np.floating], ranges: Ranges) -> dict[str, NDArray[np.bool_]]:
    """Range -> bool [B], the faces in it; ranges without any are left out."""
    size = np.abs(yaw)
    found = {title: (size >= low) & (size < high) for title, (low, high) in ranges.items()}
    return {title: members for title, members in found.items() if members.any()}


def _less(both: Array) -> Array:
    """By how many percent the first of two mean errors is below the second: [D, B, 2] -> [D]."""
    ours, reference = both.mean(axis=1).T
    return np.asarray(100 * (1 - ours / reference), np.float64)


def _of(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(row["by_range"].values())


def _span(ends: tuple[float, float], digits: int = 2) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
