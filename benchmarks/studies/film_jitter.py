"""What smoothing costs and gives in a film.

Usage: make bench-video [MODEL=asmnet_plus] [ARGS="--setting 1,30 --setting 1,10"]

Films of drawn faces (asmnet_kit.drawn_faces.film) have exact landmarks in every frame, so how much
landmarks tremble and how far they lag can be measured apart from how the head moves:

*jitter*  mean length of the second difference of the error, |e(t+1) - 2 e(t) + e(t-1)|, in percent
          of the eye distance; e is the predicted minus the true landmark, so motion does not count;
          over frames that follow each other, the face found in all three
*lag*     the delay of the truth that the landmarks agree with best (least squares, each landmark's
          constant offset removed), in milliseconds; not defined for a head held still
*NME*     as everywhere, mean over the frames in which the face was found

Each film is followed as ``asmnet-kit predict VIDEO`` does, with and without the filter.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.drawn_faces.render import SyntheticFace
from asmnet_kit.face.crop import Points
from asmnet_kit.face.metrics import per_face_nme
from asmnet_kit.face.plausibility import Plausibility, own_plausibility
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.tracking import BETA, MIN_CUTOFF_HZ, FaceTracker
from asmnet_kit.shipping.shipped import default_model

FPS = 30.0
LONGEST_LAG = 6.0  # frames
# name -> motion and tempo of asmnet_kit.drawn_faces.film
MOTIONS = {"held still": (0.0, 0.0), "talking": (1.0, 1.0), "lively": (1.0, 2.5)}

Setting = tuple[float, float] | None  # min_cutoff_hz and beta, or no filter


@dataclass(frozen=True)
class Steadiness:
    """How landmarks behave over a film's frames.

    Attributes:
        frames: in which the face was followed.
        nme_percent: mean over them.
        jitter_percent: of the eye distance.
        lag_ms: behind the truth; None for a head that does not move.
        detections: how often the detector looked.
    """

    frames: int
    nme_percent: float
    jitter_percent: float
    lag_ms: float | None
    detections: int


def steadiness(
    predicted: Points, truth: Points, *, predictor: Predictor, moving: bool, detections: int
) -> Steadiness:
    """Compare landmarks with the true ones.

    Args:
        predicted: [T, N, 2] of successive frames, pixels; NaN in a frame without the face.
        truth: [T, N, 2], of every frame.

    Raises:
        KitError: the face was in no three successive frames.
    """
    first, second = predictor.scheme.outer_eye_corners
    eyes = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
    error = (predicted - truth).astype(np.float64)
    # NaN where one of the three frames is without the face.
    trembling = np.linalg.norm(np.diff(error, n=2, axis=0), axis=-1).mean(axis=1) / eyes[1:-1]
    steady = trembling[np.isfinite(trembling)]
    if not len(steady):
        raise KitError("expected the face in three successive frames somewhere: no jitter")
    found = _found(predicted)
    return Steadiness(
        frames=int(found.sum()),
        nme_percent=float(per_face_nme(predicted[found], truth[found], predictor.scheme).mean()),
        jitter_percent=float(100 * steady.mean()),
        lag_ms=1000 * lag_frames(predicted, truth) / FPS if moving else None,
        detections=detections,
    )


def lag_frames(predicted: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """By how many frames ``predicted`` [T, ...] follows ``truth``: 0 up to ``LONGEST_LAG``.

    The truth between two frames is taken on a straight line. Frames in which ``predicted`` is NaN
    are left out; where it is not, the truth of the frames before is known all the same.
    """
    times = np.arange(len(truth), dtype=np.float64)
    flat = truth.reshape(len(truth), -1).astype(np.float64)
    seen = predicted.reshape(len(predicted), -1).astype(np.float64)
    used = _found(predicted) & (times >= np.ceil(LONGEST_LAG))
    lags = np.arange(0, LONGEST_LAG, 0.05)
    misfits = []
    for lag in lags:
        early = np.floor(times[used] - lag).astype(int)
        share = (times[used] - lag - early)[:, None]
        delayed = flat[early] * (1 - share) + flat[np.minimum(early + 1, len(flat) - 1)] * share
        difference = seen[used] - delayed
        misfits.append(np.square(difference - difference.mean(axis=0)).mean())
    return float(lags[int(np.argmin(misfits))])


def _found(predicted: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The frames [T] with the face."""
    return np.asarray(np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1))


def follow(
    frames: Sequence[SyntheticFace],
    predictor: Predictor,
    plausibility: Plausibility | None,
    setting: Setting,
    *,
    moving: bool,
) -> Steadiness:
    """Follow the one face of a film.

    Raises:
        KitError: it was found in less than half of the frames.
    """
    min_cutoff_hz, beta = setting or (MIN_CUTOFF_HZ, BETA)
    tracker = FaceTracker(
        predictor,
        plausibility=plausibility,
        smoothing=setting is not None,
        min_cutoff_hz=min_cutoff_hz,
        beta=beta,
    )
    points = predictor.scheme.points
    truth = np.stack([f.landmarks68 if points == 68 else f.landmarks98 for f in frames])
    predicted = np.full_like(truth, np.nan)
    found = 0
    for row, frame in zip(predicted, frames, strict=True):
        faces = tracker.update(frame.image, frame.index / FPS)
        if faces:
            row[:] = faces[0].face.landmarks
            found += 1
    if found < len(frames) / 2:
        raise KitError(f"the face was found in {found} of {len(frames)} frames: no result")
    return steadiness(
        predicted,
        truth,
        predictor=predictor,
        moving=moving,
        detections=tracker.detections,
    )


def main() -> int:
    """Draw films, follow them, print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="(default: the kit's default model)")
    parser.add_argument("--films", type=int, default=4, help="persons (default: 4)")
    parser.add_argument("--seed", type=int, default=100, help="of the first (default: 100)")
    parser.add_argument("--frames", type=int, default=120, help="of each film (default: 120)")
    parser.add_argument("--size", type=int, default=256, help="pixels (default: 256)")
    parser.add_argument(
        "--setting",
        action="append",
        metavar="CUTOFF,BETA",
        help="filter with these instead of the kit's, repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        settings: list[Setting] = [None, *map(_setting, options.setting or [])]
        if not options.setting:
            settings.append((MIN_CUTOFF_HZ, BETA))
        rows = _measure(options, settings)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"model": options.model or default_model().name, "rows": rows}, indent=2))
    else:
        _print(rows)
    return 0


def _setting(text: str) -> Setting:
    try:
        cutoff, beta = (float(part) for part in text.split(","))
    except ValueError as error:
        raise KitError(f"expected --setting CUTOFF,BETA, got {text!r}") from error
    return cutoff, beta


def _measure(options: argparse.Namespace, settings: Sequence[Setting]) -> list[dict[str, object]]:
    from pathlib import Path

    from asmnet_kit.shipping.shipped import find_model

    model = default_model().path if options.model is None else find_model(Path(options.model))
    predictor, plausibility = open_predictor(model), own_plausibility(model)
    rows: list[dict[str, object]] = []
    for name, (motion, tempo) in MOTIONS.items():
        found: dict[Setting, list[Steadiness]] = {setting: [] for setting in settings}
        for seed in range(options.seed, options.seed + options.films):
            drawn = film(
                options.frames, seed=seed, size=options.size, fps=FPS, motion=motion, tempo=tempo
            )
            frames = list(drawn)
            for setting in settings:
                found[setting].append(
                    follow(frames, predictor, plausibility, setting, moving=motion > 0)
                )
        rows += [_row(name, setting, results) for setting, results in found.items()]
    return rows


def _row(motion: str, setting: Setting, results: Sequence[Steadiness]) -> dict[str, object]:
    """Means over the films."""
    lags = [result.lag_ms for result in results if result.lag_ms is not None]
    return {
        "motion": motion,
        "filter": None if setting is None else {"min_cutoff_hz": setting[0], "beta": setting[1]},
        "films": len(results),
        "frames": sum(result.frames for result in results),
        "nme_percent": float(np.mean([result.nme_percent for result in results])),
        "jitter_percent": float(np.mean([result.jitter_percent for result in results])),
        "lag_ms": float(np.mean(lags)) if lags else None,
        "detections": sum(result.detections for result in results),
    }


def _print(rows: Sequence[dict[str, object]]) -> None:
    print("| head | filter (Hz, beta) | frames | jitter % | lag ms | NME % | detections |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        setting = row["filter"]
        label = "none"
        if isinstance(setting, dict):
            label = f"{setting['min_cutoff_hz']:g}, {setting['beta']:g}"
        lag = "–" if row["lag_ms"] is None else f"{row['lag_ms']:.0f}"
        figures = f"{row['jitter_percent']:.2f} | {lag} | {row['nme_percent']:.2f}"
        print(f"| {row['motion']} | {label} | {row['frames']} | {figures} | {row['detections']} |")


if __name__ == "__main__":
    sys.exit(main())
