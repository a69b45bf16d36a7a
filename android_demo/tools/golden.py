"""Golden files: what the kit's formulas give for known inputs, for code in other languages.

The phone app repeats the crop, the tensors' arithmetic, the pose axes, the face detector, the
tracker and the statistics in Kotlin. Its tests read these files, so neither side can drift:
``make golden`` writes them anew, and a test fails where they are not what this module writes.
"""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from asmnet_kit.base.files import write_text
from asmnet_kit.benchmarks.timing.noise import instability, steady
from asmnet_kit.drawn_faces.render import synthesize
from asmnet_kit.face.boxes import CROP_SCALE, Box, overlap
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import POSE_UNIT_DEGREES, project_axes, rotation_matrix
from asmnet_kit.face.schemes import BOX, SCHEME_68, SCHEME_98, Scheme, scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.uncertainty import (
    Calibration,
    expected_nme,
    sigma_of,
    unsure,
    visible_of,
)
from asmnet_kit.predict import detector as detectors
from asmnet_kit.predict import tracking
from asmnet_kit.predict.blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace, Candidates, Network
from asmnet_kit.predict.detector import Detection, landmark_boxes, wide_window, windows
from asmnet_kit.predict.one_euro import OneEuroFilter
from asmnet_kit.predict.picture import FacePrediction
from asmnet_kit.predict.tracking import BETA, MIN_CUTOFF_HZ, FaceTracker, trust_of
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.results import schema as result_schema
from asmnet_kit.results.results import summarise
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.metadata import OUTPUT_UNITS, ModelMetadata, with_metadata
from asmnet_kit.tflite.packing import pack_model
from asmnet_kit.tflite.runtime import TensorInfo, dequantize
from asmnet_kit.tflite.tensorfile import pack_tensors

FOLDER = Path(__file__).resolve().parents[1] / "core" / "src" / "test" / "resources" / "golden"

# Boxes x0, y0, x1, y1 in a 61 x 47 picture: enlarged, about 1:1, halved once and twice first,
# over the border, and wholly outside.
BOXES = {
    "enlarged": (20.25, 12.5, 33.75, 25.0),
    "one_to_one": (15.0, 8.0, 40.0, 34.6),
    "half": (4.0, 1.0, 55.0, 46.0),
    "blocks_of_2": (1.5, -10.0, 60.0, 50.0),
    "nearly_4": (-30.0, -33.0, 70.0, 60.0),
    "blocks_of_4": (-30.0, -33.0, 90.0, 60.0),
    "over_the_border": (40.0, 30.0, 70.0, 64.0),
    "outside": (200.0, 200.0, 230.0, 230.0),
}
CROP_SIZE = 32
NETWORKS = {"short": SHORT_RANGE, "full": FULL_RANGE}
DRAWN_SEED, DRAWN_SIZE = 128, 80
ANGLES = [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 15), (-25, 10, -40), (89, -60, 170)]


def write_golden(folder: Path) -> list[Path]:
    """Write every golden file into ``folder`` and return their paths. Nothing in them is random."""
    paths = []
    for name, make in MAKERS.items():
        path = folder / f"{name}.json"
        write_text(path, json.dumps(make(), indent=1, allow_nan=False) + "\n")
        paths.append(path)
    return paths


def picture_of_shapes() -> Image:
    """uint8 [47, 61, 3]: slopes, waves, a dark disc and a hard edge, different in each channel."""
    y, x = np.mgrid[0:47, 0:61].astype(np.float64)
    red = 4.1 * x + 10 * (x > 30)
    green = 127 + 90 * np.sin(x / 5) * np.cos(y / 4)
    blue = np.where((x - 24) ** 2 + (y - 20) ** 2 < 80, 20.0, 200.0) + y
    pixels: Image = np.clip(np.stack([red, green, blue], axis=-1), 0, 255).astype(np.uint8)
    return pixels


def crops() -> dict[str, Any]:
    """Face boxes of a picture, their crops, and points on the way there and back."""
    picture = picture_of_shapes()
    points = np.array([[0, 0], [12.5, 30.25], [60, 46]], np.float32)
    cases = []
    for name, box in BOXES.items():
        crop = Crop.from_box(np.array(box, np.float32), size=CROP_SIZE)
        fractions = crop.to_fractions(points)
        cases.append(
            {
                "name": name,
                "box": box,
                "scale": 1.2,
                "size": CROP_SIZE,
                "centre": crop.centre,
                "side": crop.side,
                "crop": _bytes(crop.cut(picture)),
                "points": _floats(points),
                "fractions": _floats(fractions),
                "back": _floats(crop.to_picture(fractions)),
            }
        )
    height, width = picture.shape[:2]
    return {"width": width, "height": height, "rgb": _bytes(picture), "cases": cases}


def yuv() -> dict[str, Any]:
    """Colours of full-range BT.601 (JFIF) as camera frames have them: [[y, u, v, r, g, b] ...]."""
    levels = np.array([0, 1, 63, 128, 200, 255])
    values = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    y, u, v = values.astype(np.float64).T
    u, v = u - 128, v - 128
    rgb = np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=-1)
    rgb = np.clip(np.floor(rgb + 0.5), 0, 255).astype(int)
    return {"colours": np.concatenate([values, rgb], axis=1).tolist()}


def tensors() -> dict[str, Any]:
    """Raw inputs for all 256 byte values, and real outputs for raw ones, for every tensor type."""
    values = np.arange(256, dtype=np.uint8)
    cases = []
    for dtype, scale, zero_point in (
        ("int8", 1 / 128, 0),
        ("int8", 0.0123, -7),
        ("uint8", 1 / 128, 128),
        ("int16", 1 / 32768, 0),
        ("float32", None, 0),
    ):
        info = TensorInfo("image", (1, 256), np.dtype(dtype), scale, zero_point)
        inputs = input_values(values, info)
        raw = np.linspace(-128, 127, 18).astype(np.int8).astype(dtype)
        cases.append(
            {
                "type": dtype.upper(),
                # As a model file stores it.
                "scale": None if scale is None else float(np.float32(scale)),
                "zero_point": zero_point,
                "inputs": inputs.astype(float).tolist(),
                "raw_outputs": raw.astype(float).tolist(),
                "outputs": _floats(dequantize(raw, info)),
            }
        )
    return {"cases": cases}


def decode() -> dict[str, Any]:
    """Raw int8 outputs of a model to pixels of the picture and degrees."""
    crop = Crop(centre=(320.5, 200.25), side=151.5, size=112)
    landmarks = TensorInfo("landmarks", (1, 8), np.dtype("int8"), float(np.float32(0.0045)), 3)
    pose = TensorInfo("pose", (1, 3), np.dtype("int8"), float(np.float32(0.008)), -2)
    raw_landmarks = np.array([-128, 127, 0, 3, -50, 50, 100, -100], np.int8)
    raw_pose = np.array([-128, 0, 127], np.int8)
    points = crop.to_picture(dequantize(raw_landmarks, landmarks).reshape(-1, 2))
    return {
        "crop": {"centre": crop.centre, "side": crop.side, "size": crop.size},
        "landmarks": {"scale": landmarks.scale, "zero_point": landmarks.zero_point},
        "raw_landmarks": raw_landmarks.tolist(),
        "points": _floats(points),
        "pose": {"scale": pose.scale, "zero_point": pose.zero_point},
        "raw_pose": raw_pose.tolist(),
        "degrees": _floats(POSE_UNIT_DEGREES * dequantize(raw_pose, pose)),
    }


def uncertainty() -> dict[str, Any]:
    """What a model says of how sure it is of a face, and what comes of it."""
    side, factor, fit = 151.5, 1.25, LogisticFit(-4.0, 2.0, 8.0, 100, 10)
    output = np.linspace(-1, 2.5, 68).astype(np.float32)
    logits = np.linspace(-3, 5, 68)[::-1].astype(np.float32)
    sigma, visible = np.float32(side) * sigma_of(output, factor), visible_of(logits)
    landmarks = (side * generic_reference(68) + (320.5, 200.25)).astype(np.float32)
    expected = expected_nme(sigma[None], landmarks[None], SCHEME_68)
    box_side = side / CROP_SCALE
    return {
        "side": side,
        "factor": factor,
        "uncertainty": _floats(output),
        "sigma": _floats(sigma),
        "visibility": _floats(logits),
        "visible": _floats(visible),
        "landmarks": _floats(landmarks),
        "expected_nme": float(expected[0]),
        "intercept": fit.intercept,
        "slope": fit.slope,
        "confidence": float(fit.probability(expected)[0]),
        "box_side": box_side,
        "unsure": np.flatnonzero(unsure(sigma, visible, box_side, 68)).tolist(),
        "trust": _floats(trust_of(sigma)),
    }


def followed() -> dict[str, Any]:
    """A film of two faces as a detector and a model see it, and what the tracker makes of it.

    A prediction for a box is that of the face which it overlaps most, or the box's own corners
    where there is none: any language can play that.
    """
    tracker = FaceTracker(None)  # type: ignore[arg-type]  # what would use it is replaced below
    frames = []
    first = [(number / 30, _world(number)) for number in range(110)]
    second = [
        (seconds, [_world_face(x, 60, 60, score, 0.9, None) for x, score in places])
        for seconds, places in _second_act()
    ]
    for seconds, world in first + second:
        before = tracker.detections
        with (
            patch.object(tracking, "predict_face", _prediction_of(world)),
            patch.object(tracking, "detect_faces", lambda image, min_score, w=world: _seen(w)),
        ):
            faces = tracker.update(np.zeros((240, 320, 3), np.uint8), seconds)
        frames.append(
            {
                "seconds": seconds,
                "world": [
                    {**_face(face), "box": _floats(face.box), "score": face.score} for face in world
                ],
                "looked": tracker.detections > before,
                "faces": [{"track": one.track, **_face(one.face)} for one in faces],
            }
        )
    return {"width": 320, "height": 240, "frames": frames}


def _second_act() -> list[tuple[float, list[tuple[float, float]]]]:
    """More of a film, 320 pixels wide: times, and for each face, 60 wide, its left side and score.

    After a pause a face walks three quarters of its size between two frames, and once is missed.
    Then it meets another, which hides it for half a second; both go on. At last a cut, a face
    elsewhere, and a cut to nobody.
    """
    walk = [(6 + 0.5 * n, [(10 + 45.0 * n, 0.0 if n == 4 else 0.9)]) for n in range(6)]
    cross = []
    for n in range(50):
        behind, front = 235 - 4.5 * n, 15 + 4.5 * n
        hidden = abs(behind - front) < 45
        cross.append((8.8 + n / 25, [(front, 0.9)] + [(behind, 0.9)] * (not hidden)))
    return [
        *walk,
        *cross,
        *((10.8 + n / 25, [(130.0, 0.9)]) for n in range(4)),
        *((10.96 + n / 25, []) for n in range(4)),
    ]


def _seen(world: list[FacePrediction]) -> list[Detection]:
    """What the detector sees: faces of score 0 are those that it misses."""
    return [Detection(face.box, face.score) for face in world if face.score]


def _prediction_of(world: list[FacePrediction]) -> Callable[..., FacePrediction]:
    def predict(image: Any, predictor: Any, box: Box, score: Any, plausibility: Any) -> Any:
        seen = max(world, key=lambda face: overlap(face.box, box), default=None)
        if seen is None or overlap(seen.box, box) == 0:
            return FacePrediction(box, score, box.reshape(2, 2), None, None, confidence=0.01)
        return replace(seen, box=box, score=score)

    return predict


def _face(face: FacePrediction) -> dict[str, Any]:
    return {
        "landmarks": _floats(face.landmarks),
        "pose": None if face.pose is None else _floats(face.pose),
        "sigma": None if face.sigma is None else _floats(face.sigma),
        "confidence": face.confidence,
    }


def _world(number: int) -> list[FacePrediction]:
    """The faces of a frame: one moves, is missed, doubted and vanishes, one comes later."""
    faces = []
    if number < 85:
        score = 0.0 if 28 <= number < 36 or number >= 58 else 0.9
        confidence = 0.3 if 45 <= number < 48 else 0.95
        turn = 178.0 + 0.5 * number  # past 180 degrees
        faces.append(_world_face(40 + 1.2 * number, 50 + 0.3 * number, 80, score, confidence, turn))
    if number >= 20:
        faces.append(_world_face(220, 140 - 0.4 * number, 60, 0.8, None, None))
    return faces


def _world_face(
    x: float, y: float, side: float, score: float, confidence: float | None, yaw: float | None
) -> FacePrediction:
    corners = np.array([[x, y], [x + side, y], [x + 0.5 * side, y + 0.9 * side]], np.float32)
    box = np.array([x, y, x + side, y + 0.9 * side], np.float32)
    pose = None if yaw is None else np.array([(yaw + 180) % 360 - 180, 5, -3], np.float32)
    sigma = None if yaw is None else np.array([1.0, 2.0, 8.0], np.float32)
    return FacePrediction(box, score, corners, pose, None, sigma=sigma, confidence=confidence)


def detections() -> dict[str, Any]:
    """Made-up answers of the detector's networks, and the faces that come of them."""
    decoded = [_decoded(name, network) for name, network in NETWORKS.items()]
    faces = Candidates(
        np.concatenate([np.array(one["boxes"], np.float32) for one in decoded]),
        np.concatenate([np.array(one["scores"], np.float32) for one in decoded]),
        np.concatenate([np.array(one["points"], np.float32) for one in decoded]).reshape(-1, 6, 2),
    )
    merged = detectors._merged(faces)
    return {
        "networks": decoded,
        "merged": [
            {"box": _floats(box), "score": float(score), "points": _floats(points)}
            for box, score, points in zip(
                merged.boxes, merged.scores, merged.key_points, strict=True
            )
        ],
        "landmark_boxes": [_floats(box) for box in landmark_boxes(merged)],
        "windows": [
            {"width": w, "height": h, "windows": [[*map(float, c), s] for c, s in windows(w, h)]}
            for w, h in ((100, 80), (640, 480), (480, 1300))
        ],
    }


def _decoded(name: str, network: Network) -> dict[str, Any]:
    """A few answers of one network for a window, the others being far from a face."""
    rng = np.random.default_rng(len(name))
    count = len(network.anchors())
    logits, values = np.full(count, -100, np.float32), np.zeros((count, 16), np.float32)
    chosen = sorted(int(i) for i in rng.choice(count, 6, replace=False))
    for number, index in enumerate(chosen):
        logits[index] = 90.0 if number == 0 else rng.uniform(-1, 4)
        values[index, :2] = rng.uniform(-4, 4, 2)
        values[index, 2:4] = rng.uniform(60, 75)
        eyes = np.array([[-14, -10], [14, -11], [2, 4], [1, 17], [-27, -6], [26, -7]])
        values[index, 4:] = (eyes + rng.uniform(-3, 3, (6, 2))).ravel()
    answers = {"scores": logits.reshape(1, -1, 1), "values": values[None]}
    face = BlazeFace(network)
    names = {face._scores: answers["scores"], face._values: answers["values"]}
    window = {"centre": (101.5, 80.25), "side": 150.0}
    with patch.object(face._runtime, "run", lambda inputs: names):
        found = face.find(picture_of_shapes(), **window, min_score=0.4)  # type: ignore[arg-type]
    return {
        "name": name,
        **window,
        "answers": [
            {"index": i, "logit": float(logits[i]), "values": _floats(values[i])} for i in chosen
        ],
        "boxes": found.boxes.astype(float).tolist(),
        "scores": _floats(found.scores),
        "points": [_floats(points) for points in found.key_points],
    }


def poses() -> dict[str, Any]:
    """Rotations of angles (yaw, pitch, roll in degrees) and the axes that are drawn for them."""
    origin = np.array([100.0, 80.0])
    return {
        "origin": origin.tolist(),
        "length": 50.0,
        "cases": [
            {
                "angles": angles,
                "rotation": rotation_matrix(*angles).tolist(),
                "axes": project_axes(np.array(angles, np.float64), origin, 50.0).tolist(),
            }
            for angles in ANGLES
        ],
    }


def schemes() -> dict[str, Any]:
    """The landmark numberings: parts to draw, eye corners, and counterparts in a mirror image."""
    return {
        str(points): {
            "outer_eye_corners": scheme.outer_eye_corners,
            "parts": [
                {"name": name, "points": indices, "closed": name in scheme.closed}
                for name, indices in scheme.parts.items()
            ],
            "mirror": scheme.mirror.tolist(),
            "outlines_face": scheme.outlines_face,
            "has_mirror_image": scheme.has_mirror_image,
        }
        for points, scheme in ((68, SCHEME_68), (98, SCHEME_98))
    }


# Points of a built-in scheme, and those chosen of them: with and without chin, cheeks, partners.
CHOSEN = (
    ("68", range(68)),
    ("98", [*range(0, 33, 2), *range(60, 76), 96, 97]),
    ("98", [*range(12), *range(21, 33), *range(60, 76)]),
    ("68", [*range(4, 13), *range(36, 48)]),
    ("68", [*range(17), *range(17, 22), *range(36, 48)]),
    ("106", [*range(33), *range(52, 72)]),
)


def chosen_schemes() -> dict[str, Any]:
    """Schemes whose points are chosen from another's, and whether they serve several looks."""
    cases = []
    for source, points in CHOSEN:
        mirror = scheme_of(int(source)).mirror.tolist()
        here = {number: index for index, number in enumerate(points)}
        pairs = [[here[n], here[mirror[n]]] for n in points if n < mirror[n] and mirror[n] in here]
        scheme = Scheme.from_json(
            {
                "name": "own",
                "from": {"scheme": source, "points": list(points)},
                "mirror": pairs,
                "normaliser": BOX,
            }
        )
        known = source in ("68", "98")  # by the app
        cases.append(
            {
                "scheme": scheme.to_json(),
                "outlines_face": scheme.outlines_face and known,
                "has_mirror_image": scheme.has_mirror_image and known,
            }
        )
    return {"cases": cases}


def detector() -> dict[str, Any]:
    """Windows that are searched, candidates merged, landmark boxes, and faces in two made pictures.

    One is grey with a small drawn face twice, as it is and twice as large; the other is that face
    alone, which fills it.
    """
    rng = np.random.default_rng(0)
    boxes = [
        (10, 10, 60, 60),
        (14, 8, 62, 66),
        (200, 40, 240, 84),
        (12, 12, 58, 61),
        (50, 50, 50, 50),
    ]
    corners = np.array(boxes, np.float32)
    shares = np.array(
        [[-0.2, -0.2], [0.22, -0.18], [0.02, 0.05], [0.0, 0.25], [-0.5, -0.05], [0.45, 0.0]]
    )
    middles, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    points = middles[:, None] + sides[:, None] * (shares + rng.normal(0, 0.03, (len(boxes), 6, 2)))
    scores = np.array([0.6, 0.9, 0.75, 0.9, 0.5], np.float32)
    candidates = Candidates(corners, scores, points.astype(np.float32))
    merged = detectors._merged(candidates)
    face = drawn_face()
    return {
        "windows": [
            {
                "width": w,
                "height": h,
                "windows": [[*c, s] for c, s in [wide_window(w, h), *windows(w, h)]],
            }
            for w, h in ((100, 60), (640, 480), (333, 500))
        ],
        "candidates": _candidates(candidates),
        "merged": _candidates(merged),
        "landmark_boxes": [_floats(box) for box in detectors.landmark_boxes(merged)],
        "face": {"size": DRAWN_SIZE, "rgb": _bytes(face)},
        "detections": _detections(picture_of_faces(face)),
        "detections_of_face": _detections(face),
    }


def drawn_face() -> Image:
    """uint8 [DRAWN_SIZE, DRAWN_SIZE, 3]."""
    drawn = next(iter(synthesize(1, seed=DRAWN_SEED, size=6 * DRAWN_SIZE))).image
    return drawn.reshape(DRAWN_SIZE, 6, DRAWN_SIZE, 6, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def picture_of_faces(face: Image) -> Image:
    """uint8 [300, 420, 3]: a small face at (30, 20), and twice as large at (200, 100)."""
    picture = np.full((300, 420, 3), 90, np.uint8)
    size = len(face)
    picture[20 : 20 + size, 30 : 30 + size] = face
    picture[100 : 100 + 2 * size, 200 : 200 + 2 * size] = face.repeat(2, axis=0).repeat(2, axis=1)
    return picture


def _detections(picture: Image) -> list[dict[str, Any]]:
    found = detectors.detect_faces(picture)
    return [{"box": _floats(face.box), "score": face.score} for face in found]


def _candidates(faces: Candidates) -> list[dict[str, Any]]:
    return [
        {"box": _floats(box), "score": float(score), "key_points": _floats(points)}
        for box, score, points in zip(faces.boxes, faces.scores, faces.key_points, strict=True)
    ]


# Where three landmarks lie in a face's box.
PATTERN = np.array([[0, 0.1], [1, 0], [0.2, 1]], np.float32)


def tracker() -> dict[str, Any]:
    """A played film of up to three faces, and what the tracker makes of it.

    The detector sees what ``detected`` says. The model sees the face of ``faces`` that overlaps the
    box it looks at the most, and a face of confidence 0.01 in the box itself where none does.
    """
    frames = [_frame(number) for number in range(FILM_FRAMES)]
    frames += [_frame_of_places(*frame) for frame in _second_act()]
    played: dict[str, Any] = {}

    def detect(_: Image, *, min_score: float) -> list[Detection]:
        return [
            Detection(np.array(face["box"], np.float32), face["score"])
            for face in played["detected"]
        ]

    def predict(_: Image, __: object, box: Any, score: float | None, ___: object) -> FacePrediction:
        faces = [(overlap(box, np.array(f["box"], np.float32)), f) for f in played["faces"]]
        share, best = max(faces, key=lambda pair: pair[0], default=(0.0, None))
        around, face = (best["box"], best) if best and share > 0 else (box.tolist(), LOST)
        corners = np.array(around, np.float32).reshape(2, 2)
        landmarks = corners[0] + PATTERN * (corners[1] - corners[0])
        pose = np.array(face["pose"], np.float32)
        sigma = np.array(face["sigma"], np.float32)
        return FacePrediction(
            box, score, landmarks, pose, None, sigma=sigma, confidence=face["confidence"]
        )

    expected = []
    with (
        patch.object(tracking, "detect_faces", detect),
        patch.object(tracking, "predict_face", predict),
    ):
        follow = tracking.FaceTracker(cast(Any, None))
        for frame in frames:
            played.update(frame)
            found = follow.update(
                np.zeros((FILM_HEIGHT, FILM_WIDTH, 3), np.uint8), frame["seconds"]
            )
            faces = [
                {
                    "track": one.track,
                    "box": _floats(one.face.box),
                    "score": one.face.score,
                    "landmarks": _floats(one.face.landmarks),
                    "pose": None if one.face.pose is None else _floats(one.face.pose),
                }
                for one in found
            ]
            expected.append({"detections": follow.detections, "faces": faces})
    return {
        "width": FILM_WIDTH,
        "height": FILM_HEIGHT,
        "pattern": _floats(PATTERN),
        "lost": LOST,
        "frames": frames,
        "expected": expected,
    }


FILM_WIDTH, FILM_HEIGHT, FILM_FRAMES = 320, 240, 104
LOST = {"pose": [0.0, 0.0, 0.0], "sigma": [9.0] * 3, "confidence": 0.01}


def _frame(number: int) -> dict[str, Any]:
    """One face that turns past 180 degrees and leaves, one that comes, becomes hard to see, is
    detected twice and at last not at all, and one that is too small."""

    def face(x: float, y: float, side: float, roll: float, confidence: float) -> dict[str, Any]:
        box = [x, y, x + side, y + 1.25 * side]
        sigma = [0.5, 1.0, 4.0]
        pose = [number / 4.0, -5.0, roll]
        return {"box": box, "pose": pose, "sigma": sigma, "confidence": confidence}

    turning = (170.0 + 2 * number + 180) % 360 - 180
    faces = [face(40 + 4.0 * number, 60 + (number % 2), 60, turning, 0.9)]
    confidence = 0.2 if 40 <= number < 44 or number >= 74 else 0.8
    if number >= 12:
        faces.append(face(20, 150 - number / 2, 48, 0, confidence))
    if number < 20:
        faces.append(face(280, 200, 8, 0, 0.9))
    seen = [f for f in faces if not (30 <= number < 36 or number >= 72)]
    detected = [{"box": f["box"], "score": 0.9} for f in seen]
    if number == 36:
        x0, y0, x1, y1 = faces[1]["box"]
        detected.append({"box": [x0 + 8, y0 + 6, x1 + 8, y1 + 6], "score": 0.6})
    return {"seconds": number / 25, "faces": faces, "detected": detected}


def _frame_of_places(seconds: float, places: list[tuple[float, float]]) -> dict[str, Any]:
    faces = [
        {"box": [x, 80, x + 60, 155], "pose": [0.0] * 3, "sigma": [1.0] * 3, "confidence": 0.9}
        for x, _ in places
    ]
    detected = [
        {"box": face["box"], "score": score}
        for face, (_, score) in zip(faces, places, strict=True)
        if score
    ]
    return {"seconds": seconds, "faces": faces, "detected": detected}


def one_euro() -> dict[str, Any]:
    """Points that rest, tremble and move, at uneven times, filtered with and without trust."""
    seconds = [0.0, 0.033, 0.066, 0.12, 0.15, 0.18, 0.9, 0.93, 0.96, 1.0]  # one gap of 0.72 s
    values = np.array(
        [[40.0 + (n % 2), 30.0 + n * n, 55.0, 20.0 - 3 * n] for n in range(len(seconds))],
        np.float32,
    )
    cases = []
    for trust in (None, [0.25, 1.0]):
        one = OneEuroFilter(min_cutoff_hz=MIN_CUTOFF_HZ, beta=BETA)
        spread: Any = 1.0 if trust is None else np.repeat(trust, 2)
        filtered = [
            one.update(row, now, scale=25.0, trust=spread)
            for now, row in zip(seconds, values, strict=True)
        ]
        cases.append({"trust": trust, "filtered": [_floats(row) for row in filtered]})
    return {
        "scale": 25.0,
        "seconds": seconds,
        "values": [_floats(row) for row in values],
        "cases": cases,
    }


def statistics() -> dict[str, Any]:
    """Latencies in milliseconds and what the benchmark says about them."""
    settled = [2.0 + 0.01 * (7 * i % 11) for i in range(50)]
    cases = {
        "one": [1.5],
        "two": [1.0, 3.0],
        "steady": settled,
        "spread": [1.0, 1.1, 0.9, 1.0, 5.0, 6.0, 1.0, 1.0, 4.0, 1.2],
        "drifting": [1.0 + 0.013 * i for i in range(60)],
        "almost_settled": [9.0] * 30 + [1.0] * 10 + [1.019] * 10,
        "not_settled": [1.0] * 10 + [1.021] * 10,
        "too_few_to_say": [9.0] * 9 + [1.0] * 10,
        "as_many_as_p90_takes": [1.0 + 0.01 * (5 * i % 36) for i in range(36)],
        "as_many_as_p99_takes": [1.0 + 0.001 * (5 * i % 368) for i in range(368)],
    }
    return {
        name: {
            "samples": samples,
            "summary": summarise(samples),
            "intervals": intervals(samples),
            "instability": instability(samples),
            "steady": steady(samples),
        }
        for name, samples in cases.items()
    }


def _bare_model() -> bytes:
    """A model file of a few operators, without metadata."""
    custom = schema.BuiltinOperator.CUSTOM
    model = schema.ModelT(
        version=3,
        buffers=[schema.BufferT()],
        subgraphs=[_graph()],
        operatorCodes=[
            schema.OperatorCodeT(
                builtinCode=custom, deprecatedBuiltinCode=custom, customCode="nothing"
            )
        ],
    )
    return pack_model(model)


def model_file() -> dict[str, Any]:
    """The bytes of model files with and without metadata, and what they say about themselves."""
    bare = _bare_model()
    metadata = ModelMetadata(
        architecture="asmnet_nano",
        landmarks=98,
        input_size=112,
        recipe="qat_w8a8",
        crop_scale=1.25,
        outputs=OUTPUT_UNITS,
        calibration=Calibration(1.25, 6800, LogisticFit(-4.0, 2.0, 8.0, 100, 10), "faces", "ef"),
        metrics={"nme_percent": 4.5},
        licence="Größe: example \u2713",
    )
    return {
        "model": _bytes(np.frombuffer(with_metadata(bare, metadata), np.uint8)),
        "operators": 2,
        "metadata": metadata.to_json(),
        "without_metadata": _bytes(np.frombuffer(bare, np.uint8)),
    }


def own_scheme() -> dict[str, Any]:
    """A model file of nine landmarks, which describes them, and what it says of them."""
    scheme = Scheme.from_json(
        {
            "name": "fox",
            "points": 9,
            "mirror": [[0, 1], [5, 7]],
            "normaliser": [2, 3],
            "parts": {
                "ears": {"points": [0, 1], "draw": "dots"},
                "back": {"points": [4, 8], "draw": "line"},
                "mouth": {"points": [5, 7, 6], "draw": "ring"},
            },
        }
    )
    metadata = ModelMetadata(
        architecture="asmnet_nano",
        landmarks=9,
        input_size=64,
        recipe="fp32",
        outputs={"landmarks": OUTPUT_UNITS["landmarks"]},
        own_scheme=scheme,
    )
    boxed = replace(scheme, normaliser=BOX)
    landmarks = np.random.default_rng(9).uniform(0, 100, (9, 2)).astype(np.float32)
    return {
        "model": _bytes(np.frombuffer(with_metadata(_bare_model(), metadata), np.uint8)),
        "parts": [{"name": k, **part} for k, part in scheme.to_json()["parts"].items()],
        "mirror": scheme.mirror.tolist(),
        "landmarks": landmarks.ravel().tolist(),
        "size": float(scheme.size_of(landmarks)),
        "boxed": replace(metadata, own_scheme=boxed).to_json(),
        "boxed_size": float(boxed.size_of(landmarks)),
    }


def tensor_file() -> dict[str, Any]:
    """The bytes of a file of tensors, what its tensors are and their values, run by run."""
    tensors: dict[str, NDArray[Any]] = {
        "image": np.array([[[-128, 0, 127]], [[1, 2, 3]]], np.int8),
        "landmarks": np.array([[[0.5, -0.25]], [[1e-3, 3.0]]], np.float32),
        "wide": np.array([[-32768], [256]], np.int16),
        "bytes": np.array([[0, 255], [10, 13]], np.uint8),
    }
    return {
        "file": _bytes(np.frombuffer(pack_tensors(tensors), np.uint8)),
        "records": 2,
        "tensors": [
            {
                "name": name,
                "type": values.dtype.name.upper(),
                "shape": values.shape[1:],
                "values": [_floats(run) for run in values],
            }
            for name, values in tensors.items()
        ],
    }


def _graph() -> Any:
    return schema.SubGraphT(
        tensors=[], inputs=[], outputs=[], operators=[schema.OperatorT(), schema.OperatorT()]
    )


def _bytes(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _floats(values: NDArray[Any]) -> list[float]:
    """Values as the doubles they are, flat."""
    return [float(value) for value in values.ravel()]


MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "crops": crops,
    "yuv": yuv,
    "tensors": tensors,
    "decode": decode,
    "uncertainty": uncertainty,
    "followed": followed,
    "detections": detections,
    "poses": poses,
    "schemes": schemes,
    "chosen_schemes": chosen_schemes,
    "detector": detector,
    "tracker": tracker,
    "one_euro": one_euro,
    "statistics": statistics,
    "model_file": model_file,
    "own_scheme": own_scheme,
    "tensor_file": tensor_file,
    "result_schema": result_schema,
}

if __name__ == "__main__":
    for written in write_golden(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(written)
