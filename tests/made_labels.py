"""The same few faces in every format of labels, each in the true layout of its tool or set.

Every function writes four faces below a new folder and gives what a reader must find there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference

WIDTH, HEIGHT = 120, 100  # pixels of a picture
CENTRE = 0.5  # of the top-left pixel, where a tool measures from the picture's corner


@dataclass(frozen=True, eq=False)
class Truth:
    """A face as it must be read."""

    name: str
    landmarks: NDArray[np.float64]  # [N, 2]
    split: str | None = None
    subsets: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()


def shape(points: int, index: int = 0) -> NDArray[np.float64]:
    """Landmarks of a face in the middle of a picture, different for each ``index``."""
    face = np.resize(generic_reference(98 if points != 68 else 68), (points, 2))
    return np.round(face * (60 + 3 * index) + (58 + index, 48 - index), 2).astype(np.float64)


def put_picture(path: Path, index: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((HEIGHT, WIDTH, 3), 40 + 30 * index, np.uint8)
    picture[20 + 5 * index : 60, 30:70] = 200
    assert cv2.imwrite(str(path), picture)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _of(names: Sequence[str], splits: Sequence[str | None], points: int) -> list[Truth]:
    return [
        Truth(name, shape(points, index), split)
        for index, (name, split) in enumerate(zip(names, splits, strict=True))
    ]


def coco_json(
    faces: Sequence[tuple[str, NDArray[np.float64]]],
    *,
    marks: Callable[[int, int], int] = lambda face, point: 1,
    names: Sequence[str] = (),
    more: Any = None,
    sides: tuple[int, int] = (WIDTH, HEIGHT),
) -> str:
    """The text of a COCO file: (picture, landmarks) of each face, v of (face, point)."""
    images, annotations = [], []
    for number, (picture, landmarks) in enumerate(faces):
        images.append(
            {"id": number + 7, "file_name": picture, "width": sides[0], "height": sides[1]}
        )
        keypoints: list[float] = []
        for point, (x, y) in enumerate(landmarks.tolist()):
            v = marks(number, point)
            keypoints += (x, y, v) if v else (0, 0, 0)
        annotations.append(
            {
                "id": number,
                "image_id": number + 7,
                "category_id": 1,
                "keypoints": keypoints,
                "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
                "bbox": [20, 15, 80, 70],
                "area": 5600,
                "iscrowd": 0,
                **(more or {}),
            }
        )
    category = {"id": 1, "name": "face", "keypoints": list(names), "skeleton": []}
    return json.dumps({"images": images, "annotations": annotations, "categories": [category]})


def coco(root: Path, points: int = 98) -> list[Truth]:
    """mmpose's export of WFLW: a list of each split, and one of a subset of the test faces."""
    names = [f"{i}--Parade/{i}.jpg" for i in range(4)]
    truths = _of([f"images/{name}" for name in names], ["train", "train", "test", "test"], points)
    faces = [(name, truth.landmarks) for name, truth in zip(names, truths, strict=True)]
    for name, chosen in {
        "train": faces[:2], "test": faces[2:], "test_blur": faces[3:], "test_largepose": faces[3:]
    }.items():  # fmt: skip
        put(root / "annotations" / f"face_landmarks_wflw_{name}.json", coco_json(chosen))
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
    last = truths[3]
    truths[3] = Truth(last.name, last.landmarks, "test", ("blur", "pose"))
    return truths


def imglab(root: Path) -> list[Truth]:
    """dlib's 300-W: labels of all, of train and of test, with mirrored copies."""
    names = [
        "afw/1.jpg", "helen/trainset/2.jpg", "lfpw/testset/3.jpg", "ibug/4.jpg"
    ]  # fmt: skip
    truths = [
        Truth(name, np.round(shape(68, i)), split, subsets)
        for i, (name, split, subsets) in enumerate(
            zip(
                names,
                ["train", "train", "test", "test"],
                [("afw",), ("helen",), ("common", "full", "lfpw"), ("challenging", "full", "ibug")],
                strict=True,
            )
        )
    ]
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)

    def images(chosen: Sequence[Truth]) -> str:
        lines = []
        for truth in chosen:
            parts = "\n".join(
                f"      <part name='{number:02}' x='{x:.0f}' y='{y:.0f}'/>"
                for number, (x, y) in enumerate(truth.landmarks.tolist())
            )
            box = f"    <box top='15' left='20' width='80' height='70'>\n{parts}\n    </box>\n"
            mirrored = truth.name.replace(".jpg", "_mirror.jpg")
            for name in (truth.name, mirrored):
                lines.append(f"  <image file='{name}' width='120' height='100'>\n{box}  </image>\n")
        return (
            "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
            "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n"
            "<dataset>\n<name>iBUG face point dataset</name>\n<comment>made</comment>\n<images>\n"
            + "".join(lines)
            + "</images>\n</dataset>"
        )

    put(root / "labels_ibug_300W.xml", images(truths))
    put(root / "labels_ibug_300W_train.xml", images(truths[:2]))
    put(root / "labels_ibug_300W_test.xml", images(truths[2:]))
    return truths


def cofw(root: Path) -> list[Truth]:
    """COFW_train_color.mat and COFW_test_color.mat as MATLAB 7.3 writes them."""
    import h5py

    truths = []
    root.mkdir(parents=True, exist_ok=True)
    for split, end in (("train", "Tr"), ("test", "T")):
        with h5py.File(root / f"COFW_{split}_color.mat", "w", userblock_size=512) as file:
            cells = file.create_group("#refs#")
            columns, boxes, references = [], [], []
            for index in range(2):
                number = index + 2 * (split == "test")
                landmarks, hidden = shape(29, number), (3, 5 + index)
                picture = np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8)
                picture[:, :, 0] = 90  # red
                # MATLAB's axes come in the opposite order; a grey picture has two.
                stored = picture.T if index == 0 else picture[:, :, 1].T
                references.append(cells.create_dataset(f"{number}", data=stored).ref)
                marks = np.isin(np.arange(29), hidden)
                columns.append(np.concatenate([*(landmarks.T + 1), marks]))
                boxes.append([21, 16, 80, 70])
                truths.append(
                    Truth(f"COFW_{split}_color/{index + 1:04}.png", landmarks, split, hidden=hidden)
                )
            file[f"phis{end}"] = np.array(columns).T
            file[f"bboxes{end}"] = np.array(boxes, np.float64).T
            file[f"Is{end}"] = np.array([references], h5py.ref_dtype)
    return truths


def counted_points(landmarks: NDArray[np.float64]) -> str:
    """The text of a landmark file of LaPa or JD-landmark."""
    lines = [f"{x:.6f} {y:.6f}" for x, y in landmarks.tolist()]
    return "\n".join([str(len(lines)), *lines, ""])


def lapa(root: Path) -> list[Truth]:
    splits = ["train", "train", "val", "test"]
    truths = _of([f"{s}/images/{i}_0.jpg" for i, s in enumerate(splits)], splits, 106)
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        split, _, name = truth.name.split("/")
        put_picture(root / split / "labels" / name.replace(".jpg", ".png"), index)
        landmarks = root / split / "landmarks" / name.replace(".jpg", ".txt")
        put(landmarks, counted_points(truth.landmarks))
    return truths


def jd106(root: Path) -> list[Truth]:
    """Training_data, Test_data1, a corrected file and the training pictures' boxes."""
    names = [
        "Training_data/AFW/picture/AFW_1_0.jpg",
        "Training_data/HELEN/picture/HELEN_2_0.jpg",
        "Test_data1/picture/3.jpg",
        "Test_data1/picture/4.jpg",
    ]
    truths = _of(names, ["train", "train", "test", "test"], 106)
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        folder, _, name = truth.name.rpartition("/picture/")
        put(root / folder / "landmark" / f"{name}.txt", counted_points(truth.landmarks))
    corrected = counted_points(truths[3].landmarks)
    put(root / "Test_data1/landmark/4.jpg.txt", counted_points(truths[3].landmarks + 3))
    put(root / "Corrected_landmark/4.jpg.txt", corrected)
    put(root / "Test_data1/rect/3.jpg.rect", "20 15 99 84\n")
    boxes = "training_dataset_face_detection_bounding_box"
    put(root / f"{boxes}_v1" / boxes / "AFW_1_0.jpg.rect", "20 15 99 84")
    for index, subset in enumerate(("afw", "helen")):
        truths[index] = Truth(names[index], truths[index].landmarks, "train", (subset,))
    return truths


def cvat(root: Path) -> list[Truth]:
    """A project's export: a skeleton, all points as one shape, and points of a group."""
    names = ["images/Train/1.jpg", "images/Train/2.jpg", "images/Test/3.jpg", "images/Test/4.jpg"]
    truths = _of(names, ["train", "train", "test", "test"], 68)
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
    hidden, unlabelled = (2,), (10,)
    truths[0] = Truth(names[0], truths[0].landmarks, "train", (), hidden, unlabelled)
    images = []
    for number, truth in enumerate(truths):
        pairs = [f"{x + CENTRE:.2f},{y + CENTRE:.2f}" for x, y in truth.landmarks.tolist()]
        points = "".join(
            f'<points label="{label}" source="manual" '
            f'outside="{int(label - 1 in truth.unlabelled)}" '
            f'occluded="{int(label - 1 in truth.hidden)}" points="{pair}"></points>'
            for label, pair in enumerate(pairs, start=1)
        )
        shapes = (
            f'<skeleton label="face" source="manual" occluded="0" z_order="0">{points}</skeleton>',
            f'<points label="face" source="manual" occluded="0" points="{";".join(pairs)}" '
            'z_order="0"></points>',
            points.replace("<points ", '<points group_id="4" '),
            f'<skeleton label="face" source="manual" occluded="0" z_order="0">{points}</skeleton>',
        )[number]
        box = (
            '<box label="face" occluded="0" xtl="20.50" ytl="15.50" xbr="99.50" ybr="84.50"></box>'
        )
        subset = "Train" if truth.split == "train" else "Test"
        images.append(
            f'<image id="{number}" name="{truth.name.split("/")[-1]}" subset="{subset}" '
            f'task_id="1" width="120" height="100">{box}{shapes}</image>'
        )
    put(
        root / "annotations.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta>'
        "<project><name>faces</name></project></meta>" + "\n".join(images) + "</annotations>\n",
    )
    return truths


def label_studio(root: Path) -> list[Truth]:
    """An export of tasks, with the pictures beside it as Label Studio stores them."""
    names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    stored = [
        "images/0f0f0f01-1.jpg", "images/0f0f0f02-2.jpg", "images/3.jpg", "images/4.jpg"
    ]  # fmt: skip
    truths = _of(stored, [None] * 4, 68)
    labels = scheme_of(68).names
    tasks = []
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        about = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        result: list[dict[str, Any]] = [
            {
                **about, "id": "box", "type": "rectanglelabels", "from_name": "box",
                "to_name": "image", "value": {"x": 20.5 / 1.2, "y": 15.5, "width": 79 / 1.2,
                                              "height": 69, "rotation": 0,
                                              "rectanglelabels": ["face"]},
            }
        ]  # fmt: skip
        for number, (x, y) in enumerate(truth.landmarks.tolist()):
            value = {
                "x": 100 * (x + CENTRE) / WIDTH,
                "y": 100 * (y + CENTRE) / HEIGHT,
                "width": 0.5,
                "keypointlabels": [labels[number], *(["occluded"] if number == 4 else [])],
            }
            result.append(
                {
                    **about, "id": f"p{number}", "type": "keypointlabels", "from_name": "points",
                    "to_name": "image", "parentID": "box", "value": value,
                }
            )  # fmt: skip
        address = (
            f"/data/upload/1/0f0f0f0{index + 1}-{names[index]}",
            f"/data/upload/1/0f0f0f0{index + 1}-{names[index]}",
            "/data/local-files/?d=images/3.jpg",
            "s3://bucket/images/4.jpg",
        )[index]
        annotation = {"id": index, "was_cancelled": False, "result": result}
        tasks.append({"id": index, "annotations": [annotation], "data": {"image": address}})
    put(root / "project-1.json", json.dumps(tasks))
    return [Truth(t.name, t.landmarks, t.split, hidden=(4,)) for t in truths]


def labelme(root: Path) -> list[Truth]:
    """A JSON beside each picture; the last one is in another folder of the data set."""
    names = ["train/1.jpg", "train/2.jpg", "test/3.jpg", "pictures/4.jpg"]
    truths = _of(names, ["train", "train", "test", "test"], 98)
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        shapes: list[dict[str, Any]] = [
            {
                "label": str(number), "points": [[x + CENTRE, y + CENTRE]], "group_id": None,
                "description": "", "shape_type": "point", "flags": {"occluded": number == 9},
                "mask": None,
            }
            for number, (x, y) in enumerate(truth.landmarks.tolist())
        ]  # fmt: skip
        shapes.append(
            {"label": "face", "points": [[20.5, 15.5], [99.5, 84.5]], "group_id": None,
             "shape_type": "rectangle", "flags": {}}
        )  # fmt: skip
        name = Path(truth.name).name
        folder = root / str(truth.split)
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": name if index < 3 else f"..\\pictures\\{name}",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        put(folder / name.replace(".jpg", ".json"), json.dumps(content, indent=2))
    return [Truth(t.name, t.landmarks, t.split, hidden=(9,)) for t in truths]


def pfld(root: Path) -> list[Truth]:
    names = [
        "train_data/imgs/0_a b_0.png", "train_data/imgs/0_a b_1.png",
        "test_data/imgs/0_c_0.png", "test_data/imgs/1_d_0.png",
    ]  # fmt: skip
    truths = _of(names, ["train", "train", "test", "test"], 98)
    truths[3] = Truth(names[3], truths[3].landmarks, "test", ("pose", "blur"))
    lines: dict[str, list[str]] = {"train_data": [], "test_data": []}
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        fractions = ((truth.landmarks + 0.5) / (WIDTH, HEIGHT)).ravel().tolist()
        flags = [1, 0, 0, 0, 0, 1] if truth.subsets else [0] * 6
        numbers = [*map(str, fractions), *map(str, flags), "-3.2", "12.5", "0.25"]
        folder = truth.name.split("/")[0]
        lines[folder].append(f"/home/ann/PFLD/data/{truth.name} {' '.join(numbers)}\n")
    for folder, text in lines.items():
        put(root / folder / "list.txt", "".join(text))
    return truths


def predictions(root: Path) -> list[Truth]:
    """What ``predict --json`` and its JSON lines say, the paths as the user named the pictures."""
    names = ["train/1.jpg", "train/2.jpg", "test/3.jpg", "test/4.jpg"]
    truths = _of(names, ["train", "train", "test", "test"], 68)
    records = []
    for index, truth in enumerate(truths):
        put_picture(root / truth.name, index)
        face = {
            "box": [20.0, 15.0, 99.0, 84.0],
            "score": 0.9,
            "landmarks": truth.landmarks.tolist(),
            "pose": {"yaw": 10.0, "pitch": -5.0, "roll": 1.5},
            "plausibility": None,
            "sigma": [0.5] * 68,
            "visible": [0.2 if number == 7 else 0.9 for number in range(68)],
            "confidence": 0.8,
            "confidence_from": "uncertainty",
        }
        records.append(
            {
                "schema_version": 2,
                "image": {"path": f"photos/{truth.name}", "width": WIDTH, "height": HEIGHT},
                "model": "made",
                "scheme": "68",
                "plausibility_means": None,
                "faces": [face],
                "error": None,
            }
        )
    put(root / "faces.jsonl", "".join(json.dumps(record) + "\n" for record in records[:3]))
    put(root / "one.json", json.dumps(records[3], indent=2))
    return [Truth(t.name, t.landmarks, t.split, hidden=(7,)) for t in truths]


MADE: dict[str, Callable[[Path], list[Truth]]] = {
    "coco": coco,
    "imglab": imglab,
    "cofw": cofw,
    "lapa": lapa,
    "jd106": jd106,
    "cvat": cvat,
    "label_studio": label_studio,
    "labelme": labelme,
    "pfld": pfld,
    "predictions": predictions,
}
