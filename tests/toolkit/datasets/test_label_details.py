"""What the formats of tools and sets say beyond points: names, marks, groups, links, rotations."""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.base.errors import DatasetError, MissingDependency
from asmnet_kit.base.install import install_command
from asmnet_kit.cli import main
from asmnet_kit.datasets.inspection import inspect_dataset
from asmnet_kit.datasets.named_points import PointNames
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.schemes import Scheme, scheme_of
from made_labels import CENTRE, HEIGHT, MADE, WIDTH, coco_json, put, put_picture, shape

EAR = Scheme.from_json(
    {"name": "ear", "points": 9, "normaliser": "box", "names": [f"rim_{i}" for i in "abcdefghi"]}
)


def point(label: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """A point of labelme."""
    return {"label": label, "points": [[x + CENTRE, y + CENTRE]], "shape_type": "point", **more}


def put_labelme(root: Path, name: str, shapes: list[dict[str, Any]]) -> None:
    put_picture(root / f"{name}.jpg", 0)
    content = {"shapes": shapes, "imagePath": f"{name}.jpg", "imageData": None}
    put(root / f"{name}.json", json.dumps(content))


def test_labels_are_numbers_from_0_or_1_or_names_in_any_spelling() -> None:
    names = scheme_of(68).names
    for labels in (
        [str(i) for i in range(68)],
        [str(i) for i in range(1, 69)],
        [f"{i:02}" for i in range(68)],
        [f"kpt-{i}" for i in range(68)],
        list(names),
        [name.upper().replace("_", " ") for name in names],
    ):
        found = PointNames(Counter(labels), None)
        assert found.scheme.name == "68"
        assert [found.number[label] for label in labels] == list(range(68))
    assert PointNames(Counter(map(str, range(1, 107))), None).scheme.name == "106"
    rims = PointNames(Counter(EAR.names), EAR)
    assert rims.scheme == EAR
    with pytest.raises(DatasetError, match=r"expected labels with the names or the numbers.*got 3"):
        PointNames(Counter(("nose", "left", "right")), None)


def test_a_label_that_means_no_point_is_told_and_costs_that_point_alone(tmp_path: Path) -> None:
    for index in range(30):
        shapes = [point(str(n), x, y) for n, (x, y) in enumerate(shape(68).tolist())]
        if index in (4, 9):
            shapes[7]["label"] = "chin??"
        if index == 12:
            shapes.append(point("68", 50, 50))  # there are 0 to 67
        put_labelme(tmp_path / "data", f"{index:02}", shapes)
    dataset = load_dataset(tmp_path / "data", "labelme", max_bad_share=0.1)
    assert len(dataset.faces) == 30 and dataset.scheme.name == "68"
    assert sum(not face.complete for face in dataset.faces) == 2
    assert sorted((p.name, p.reason) for p in dataset.problems) == [
        ("04.json", "no point of scheme 68 is called 'chin??': left out (2 points)"),
        ("12.json", "no point of scheme 68 is called '68': left out"),
    ]


def test_two_faces_without_groups_are_told_apart_by_nothing(tmp_path: Path) -> None:
    shapes = [point(str(n), x, y) for n, (x, y) in enumerate(shape(68).tolist())]
    moved = [point(str(n), x, y + 5) for n, (x, y) in enumerate(shape(68).tolist())]
    put_labelme(tmp_path / "data", "both", shapes + moved)
    put_labelme(tmp_path / "data", "one", shapes)
    grouped = [{**s, "group_id": 1} for s in shapes] + [{**s, "group_id": 2} for s in moved]
    put_labelme(tmp_path / "data", "grouped", grouped)
    dataset = load_dataset(tmp_path / "data", "labelme", max_bad_share=0.5)
    assert [f.name for f in dataset.faces] == ["grouped.jpg#1", "grouped.jpg#2", "one.jpg"]
    (problem,) = dataset.problems
    assert (
        "two points are called '0': two faces of one picture must be told apart" in problem.reason
    )


def test_a_scheme_of_ones_own_names_the_points(tmp_path: Path) -> None:
    pairs = (np.array([[i * 8.0, (i * i) % 17 * 4.0] for i in range(9)]) + 10).tolist()
    shapes = [point(EAR.names[n], x, y) for n, (x, y) in enumerate(pairs)]
    put_labelme(tmp_path / "data", "ear", shapes[::-1])
    dataset = load_dataset(tmp_path / "data", "labelme", scheme=EAR)
    assert dataset.scheme == EAR
    np.testing.assert_allclose(dataset.faces[0].landmarks, pairs, atol=1e-4)
    in_order = coco_json([("ear.jpg", np.array(pairs))], names=EAR.names)
    put(tmp_path / "coco" / "all.json", in_order)
    put_picture(tmp_path / "coco" / "ear.jpg", 0)
    assert load_dataset(tmp_path / "coco", "coco", scheme=EAR).scheme == EAR


def put_coco(root: Path, text: str, count: int) -> None:
    for index in range(count):
        put_picture(root / "images" / f"{index}.jpg", index)
    put(root / "annotations" / "faces.json", text)


def test_v_of_coco_is_no_label_hidden_or_seen(tmp_path: Path) -> None:
    faces = [(f"{index}.jpg", shape(68, index)) for index in range(2)]
    text = coco_json(faces, marks=lambda face, number: number % 3)
    put_coco(tmp_path, text, 2)
    face = load_dataset(tmp_path, "coco").faces[0]
    assert face.visibility is not None
    np.testing.assert_array_equal(face.labelled, np.arange(68) % 3 > 0)
    np.testing.assert_array_equal(face.visibility[:3], [np.nan, 0, 1])


@pytest.mark.parametrize("v", [1, 2])
def test_one_and_the_same_v_says_nothing_of_visibility(tmp_path: Path, v: int) -> None:
    """mmpose writes 1 for every point of WFLW, 2 for every point of LaPa."""
    put_coco(tmp_path, coco_json([("0.jpg", shape(68))], marks=lambda face, number: v), 1)
    face = load_dataset(tmp_path, "coco").faces[0]
    assert face.complete and face.visibility is None


def test_keypoints_that_a_category_names_are_put_into_the_schemes_order(tmp_path: Path) -> None:
    names = scheme_of(68).names[::-1]
    put_coco(tmp_path, coco_json([("0.jpg", shape(68)[::-1])], names=names), 1)
    face = load_dataset(tmp_path, "coco").faces[0]
    np.testing.assert_allclose(face.landmarks, shape(68), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keypoints": [1, 2, 3, 4]}, "expected keypoints x, y, v ..., got 4 numbers"),
        ({"keypoints": ["a"] * 204}, "expected numbers in keypoints"),
        (
            {"keypoints": [1, 2, 3] * 68},
            "expected v of 0 (no label), 1 (hidden) or 2 (seen), got 3",
        ),
        ({"keypoints": [1, 2, 1] * 98}, "expected 68 points like the other faces, got 98"),
        ({"keypoints": [1e30, 2, 1] + [1, 2, 1] * 67}, "point 0 is at 1e+30, 2"),
        ({"image_id": 99}, "no image has its image_id 99"),
        ({"image_id": None}, "no image has its image_id None"),
    ],
)
def test_a_bad_annotation_of_coco_is_one_problem(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    content = json.loads(coco_json([(f"{i}.jpg", shape(68, i)) for i in range(3)]))
    content["annotations"][1] |= change
    put_coco(tmp_path, json.dumps(content), 3)
    dataset = load_dataset(tmp_path, "coco", max_bad_share=0.5)
    assert len(dataset.faces) == 2
    (problem,) = dataset.problems
    assert problem.name == "annotations/faces.json annotation 1"
    assert problem.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("\ud800.jpg", "expected the path of a picture, got characters that no file's name has"),
        ("a/" * 9000 + "0.jpg", "expected the path of a picture, at most 4096 characters, got"),
    ],
)
def test_a_name_that_no_file_can_have_is_one_problem(
    tmp_path: Path, name: str, reason: str
) -> None:
    content = json.loads(coco_json([(f"{i}.jpg", shape(68, i)) for i in range(3)]))
    content["images"][1]["file_name"] = name
    put_coco(tmp_path, json.dumps(content), 3)
    dataset = load_dataset(tmp_path, "coco", max_bad_share=0.5)
    assert len(dataset.faces) == 2
    (problem,) = dataset.problems
    assert problem.reason.startswith(reason)


def test_a_box_of_numbers_beyond_floats_is_no_box(tmp_path: Path) -> None:
    content = json.loads(coco_json([(f"{i}.jpg", shape(68, i)) for i in range(3)]))
    content["annotations"][1]["bbox"] = [0, 0, 10**400, 20]
    put_coco(tmp_path, json.dumps(content), 3)
    dataset = load_dataset(tmp_path, "coco")
    assert (len(dataset.faces), dataset.problems) == (3, ())


def test_crowds_and_boxes_without_keypoints_are_no_faces(tmp_path: Path) -> None:
    content = json.loads(coco_json([(f"{i}.jpg", shape(68, i)) for i in range(3)]))
    content["annotations"][0]["iscrowd"] = 1
    del content["annotations"][1]["keypoints"]
    put_coco(tmp_path, json.dumps(content), 3)
    dataset = load_dataset(tmp_path, "coco")
    assert [face.name for face in dataset.faces] == ["images/2.jpg"]
    assert dataset.problems == ()


def test_a_face_in_two_splits_is_told(tmp_path: Path) -> None:
    put_picture(tmp_path / "images/0.jpg", 0)
    for split in ("train", "test"):
        text = coco_json([("0.jpg", shape(68))])
        put(tmp_path / "annotations" / f"person_keypoints_{split}2017.json", text)
    dataset = load_dataset(tmp_path, "coco", max_bad_share=0.5)
    assert [face.split for face in dataset.faces] == ["test"]  # the first file by name
    assert "the same face is in the split test" in dataset.problems[0].reason


def test_mmposes_300w_keeps_the_public_splits_and_subsets(tmp_path: Path) -> None:
    for name, picture in (
        ("train", "afw/1.jpg"),
        ("valid", "helen/testset/2.jpg"),
        ("valid_challenge", "ibug/3.jpg"),
    ):
        put_picture(tmp_path / "images" / picture, len(name) % 4)
        text = coco_json([(picture, shape(68))])
        put(tmp_path / "annotations" / f"face_landmarks_300w_{name}.json", text)
    faces = {face.name: face for face in load_dataset(tmp_path, "coco").faces}
    found = {name.split("/")[1]: (face.split, face.subsets) for name, face in faces.items()}
    assert found == {
        "afw": ("train", ("afw",)),
        "helen": ("test", ("common", "full", "helen")),
        "ibug": ("test", ("challenging", "full", "ibug")),
    }


def test_label_studios_short_export_and_a_turned_picture(tmp_path: Path) -> None:
    about = {"original_width": WIDTH, "original_height": HEIGHT}
    tasks = []
    for index, turned in enumerate((0, 90)):
        put_picture(tmp_path / "images" / f"{index}.jpg", index)
        points = [
            {
                "x": 100 * (x + CENTRE) / WIDTH, "y": 100 * (y + CENTRE) / HEIGHT, "width": 0.5,
                "keypointlabels": [str(number)], "image_rotation": turned, **about,
            }
            for number, (x, y) in enumerate(shape(68).tolist())
        ]  # fmt: skip
        tasks.append({"id": index, "image": f"/data/upload/1/{index}.jpg", "points": points})
    put(tmp_path / "min.json", json.dumps(tasks))
    dataset = load_dataset(tmp_path, "label_studio", max_bad_share=0.5)
    assert [face.name for face in dataset.faces] == ["images/0.jpg"]
    np.testing.assert_allclose(dataset.faces[0].landmarks, shape(68), atol=1e-3)
    assert dataset.problems[0].reason.startswith("the picture was turned by 90 degrees in Label St")


def test_a_cancelled_annotation_is_not_read_and_the_ground_truth_is_preferred(
    tmp_path: Path,
) -> None:
    MADE["label_studio"](tmp_path)
    path = tmp_path / "project-1.json"
    tasks = json.loads(path.read_text())
    first = tasks[0]["annotations"][0]
    moved = json.loads(json.dumps(first))
    for region in moved["result"]:
        region["value"]["x"] += 5
    tasks[0]["annotations"] = [{**moved, "was_cancelled": True}, first]
    second = tasks[1]["annotations"][0]
    tasks[1]["annotations"] = [{**second, "result": []}, {**second, "ground_truth": True}]
    path.write_text(json.dumps(tasks))
    dataset = load_dataset(tmp_path, "label_studio")
    assert len(dataset.faces) == 4
    np.testing.assert_allclose(dataset.faces[0].landmarks, shape(68, 0), atol=1e-3)


def changed_copy(path: Path, copy: str, change: Any) -> None:
    """A second export of Label Studio's tasks, with the first one ``change``-d."""
    tasks = json.loads(path.read_text())
    change(tasks[0])
    (path.parent / copy).write_text(json.dumps(tasks))


def move_points(task: dict[str, Any]) -> None:
    for region in task["annotations"][0]["result"]:
        region["value"]["x"] += 2
    task["updated_at"] = "2024-05-02T10:00:00Z"


@pytest.mark.parametrize("format", ["label_studio", "cvat"])
def test_a_second_export_of_the_same_labels_adds_no_face(tmp_path: Path, format: str) -> None:
    truths = MADE[format](tmp_path)
    (first,) = [*tmp_path.glob("*.json"), *tmp_path.glob("*.xml")]
    (tmp_path / f"again{first.suffix}").write_bytes(first.read_bytes())
    dataset = load_dataset(tmp_path, format)
    assert dataset.problems == ()
    assert [face.name for face in dataset.faces] == sorted(truth.name for truth in truths)


@pytest.mark.parametrize("newer", ["a.json", "z.json"])  # read before project-1.json, and after
def test_of_two_exports_of_a_label_studio_task_the_newer_is_read_and_the_other_told(
    tmp_path: Path, newer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is wrong with them, so none counts as a bad face."""
    truths = MADE["label_studio"](tmp_path)
    first = tmp_path / "project-1.json"
    changed_copy(first, first.name, lambda task: task.update(updated_at="2024-03-09T10:00:00Z"))
    changed_copy(first, newer, move_points)
    (tmp_path / newer).write_text(json.dumps(json.loads((tmp_path / newer).read_text())[:1]))
    dataset = load_dataset(tmp_path, "label_studio", max_bad_share=0)
    assert len(dataset.faces) == len(truths)
    moved = dataset.faces[0].landmarks - truths[0].landmarks
    np.testing.assert_allclose(moved[:, 0], 0.02 * WIDTH, atol=1e-3)
    said = " ".join(capsys.readouterr().err.split())
    assert f"labels of 1 face in project-1.json, since {newer} has newer ones" in said


def test_a_file_with_other_tasks_is_not_told_to_be_removed(tmp_path: Path) -> None:
    """Where nothing says which labels are newer, and a part of the tasks is in one file alone."""
    MADE["label_studio"](tmp_path)
    changed_copy(tmp_path / "project-1.json", "z.json", move_points)
    tasks = json.loads((tmp_path / "z.json").read_text())[:1]
    del tasks[0]["updated_at"]
    (tmp_path / "z.json").write_text(json.dumps(tasks))
    (problem,) = load_dataset(tmp_path, "label_studio", max_bad_share=0.5).problems
    assert problem.name == "z.json task 0"
    assert problem.reason.endswith("export all tasks anew, into one file")


def test_other_labels_of_a_cvat_image_in_a_second_file_are_told(tmp_path: Path) -> None:
    truths = MADE["cvat"](tmp_path)
    text = (tmp_path / "annotations.xml").read_text()
    (tmp_path / "old.xml").write_text(text.replace('outside="1"', 'outside="0"'))
    dataset = load_dataset(tmp_path, "cvat", max_bad_share=0.5)
    assert [face.name for face in dataset.faces] == sorted(truth.name for truth in truths)
    (problem,) = dataset.problems
    assert (problem.name, problem.reason) == (
        "old.xml: 1.jpg",
        "annotations.xml has other labels of the same task: remove one of the two files",
    )


@pytest.mark.parametrize(
    ("metas", "faces", "told"),
    [
        (("<task><id>11</id></task>", "<task><id>12</id></task>"), 8, 0),
        (("<job><id>11</id></job>", "<task><id>11</id></task>"), 8, 0),
        (("", ""), 8, 0),
        (("<task><id>11</id></task>", "<task><id>11</id></task>"), 4, 4),
        (("<job><id>11</id></job>", "<job><id>11</id></job>"), 4, 4),
    ],
)
def test_cvat_images_are_of_one_task_where_the_files_name_one(
    tmp_path: Path, metas: tuple[str, str], faces: int, told: int
) -> None:
    """The export of a task has no task_id, and the id of an image counts the task's frames."""
    MADE["cvat"](tmp_path)
    path = tmp_path / "annotations.xml"
    text = path.read_text().replace(' task_id="1"', "")
    project = "<project><name>faces</name></project>"
    other = re.sub(r'points="(\d)', r'points="1\1', text)  # the faces of other people
    path.write_text(text.replace(project, metas[0]))
    (tmp_path / "second.xml").write_text(other.replace(project, metas[1]))
    dataset = load_dataset(tmp_path, "cvat", max_bad_share=0.5)
    assert (len(dataset.faces), len(dataset.problems)) == (faces, told)


def test_a_picture_that_two_addresses_end_at_is_nobodys(tmp_path: Path) -> None:
    """/data/upload/1/bob/4.jpg, of which there is no copy, must not take another's 4.jpg."""
    truths = MADE["label_studio"](tmp_path)

    def of_bob(task: dict[str, Any]) -> None:
        task |= {"id": 90, "data": {"image": "/data/upload/1/bob/4.jpg"}}

    changed_copy(tmp_path / "project-1.json", "z.json", of_bob)
    dataset = load_dataset(tmp_path, "label_studio", max_bad_share=0.5)
    assert [face.name for face in dataset.faces] == [truth.name for truth in truths[:3]]
    bobs = next(problem for problem in dataset.problems if problem.name == "z.json task 90")
    assert "s3://bucket/images/4.jpg ends, too" in bobs.reason
    put_picture(tmp_path / "images/bob/4.jpg", 0)
    faces = load_dataset(tmp_path, "label_studio").faces
    assert {face.name for face in faces} == {"images/bob/4.jpg", *(t.name for t in truths)}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://s3/x/new.jpg?X-Amz-Date=1", "https://s3/x/new.jpg?X-Amz-Date=2#top"),
        ("https://s3/x/./new.jpg", "https://s3/x//new.jpg"),
        ("s3://x/new.jpg", "https://x.s3.amazonaws.com/new.jpg?X-Amz-Date=1"),  # of one task
        ("/data/local-files/?d=x/new.jpg", "/data/local-files/?d=x//new.jpg"),
    ],
)
def test_an_address_of_label_studio_is_one_in_every_spelling(
    tmp_path: Path, first: str, second: str
) -> None:
    MADE["label_studio"](tmp_path)
    put_picture(tmp_path / "images/new.jpg", 0)
    path = tmp_path / "project-1.json"
    changed_copy(path, "z.json", lambda task: task.update(id=90, data={"image": second}))
    changed_copy(path, path.name, lambda task: task.update(id=90, data={"image": first}))
    dataset = load_dataset(tmp_path, "label_studio")
    assert dataset.problems == ()
    assert sum(face.name == "images/new.jpg" for face in dataset.faces) == 1


def test_one_task_number_on_two_servers_is_of_two_pictures(tmp_path: Path) -> None:
    MADE["label_studio"](tmp_path)
    put_picture(tmp_path / "images/new.jpg", 0)
    path, address = tmp_path / "project-1.json", "https://{0}/{0}/new.jpg"
    for name, copy in (("bob", "z.json"), ("ann", path.name)):
        data = {"image": address.format(name)}
        changed_copy(path, copy, lambda task, data=data: task.update(id=90, data=data))
    dataset = load_dataset(tmp_path, "label_studio", max_bad_share=0.8)
    assert "images/new.jpg" not in {face.name for face in dataset.faces}


@pytest.mark.parametrize("called_in", [".", "elsewhere"])
def test_predictions_of_a_relative_and_an_absolute_path_are_of_one_picture(
    tmp_path: Path, called_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``predict photos`` and ``predict $PWD/photos``; a face that both found is one."""
    MADE["predictions"](tmp_path / "photos")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos/one.json").unlink()
    labels = tmp_path / "photos/faces.jsonl"
    lines = [json.loads(line) for line in labels.read_text().splitlines()]
    labels.unlink()
    for name, folder in (("a", ""), ("b", f"{tmp_path}/"), ("c", "./")):
        of_one = [
            {**one, "image": {**one["image"], "path": folder + one["image"]["path"]}}
            for one in lines
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, of_one)))
    monkeypatch.chdir(tmp_path / called_in)
    dataset = load_dataset(tmp_path, "predictions")
    assert dataset.problems == ()
    assert len(dataset.faces) == len(lines)


def test_pfld_paths_are_one_in_every_spelling(tmp_path: Path) -> None:
    truths = MADE["pfld"](tmp_path)
    path = tmp_path / "test_data" / "list.txt"
    again = path.read_text().splitlines()[0].replace("/PFLD/", "/./PFLD//")
    path.write_text(path.read_text() + again + "\n")
    dataset = load_dataset(tmp_path, "pfld")
    assert (len(dataset.faces), dataset.problems) == (len(truths) + 1, ())


def test_pfld_lists_of_pixels_are_told_from_fractions(tmp_path: Path) -> None:
    MADE["pfld"](tmp_path)
    path = tmp_path / "test_data" / "list.txt"
    line = path.read_text().splitlines()[0].split()
    line[1] = "31.5"
    path.write_text(" ".join(line) + "\n")
    dataset = load_dataset(tmp_path, "pfld", max_bad_share=0.5)
    assert dataset.problems[0].reason == (
        "expected fractions of the picture, 0 to 1, got 31.5: are these pixels?"
    )


def test_pfld_fractions_mean_the_same_pixels_as_the_adapters_outputs(tmp_path: Path) -> None:
    """0.25 of 112 pixels from the corner is pixel 27.5, and its mirror image 1 - 0.25 pixel 83.5.

    The mirror of pixel x is 111 - x.
    """
    put_picture(tmp_path / "imgs/a.png", 0)
    cv2.imwrite(str(tmp_path / "imgs/a.png"), np.full((112, 112, 3), 90, np.uint8))
    halves = np.linspace(0.25, 0.75, 98)
    for name, fractions in (("a", halves), ("b", 1 - halves)):
        (tmp_path / f"imgs/{name}.png").write_bytes((tmp_path / "imgs/a.png").read_bytes())
        line = " ".join(f"{x:.9f} {y:.9f}" for x, y in zip(fractions, halves, strict=True))
        with (tmp_path / "list.txt").open("a") as file:
            file.write(f"imgs/{name}.png {line}\n")
    first, mirrored = (face.landmarks for face in load_dataset(tmp_path, "pfld").faces)
    np.testing.assert_allclose(first[0], [27.5, 27.5], atol=1e-5)
    np.testing.assert_allclose(mirrored[0], [83.5, 27.5], atol=1e-5)
    np.testing.assert_allclose(mirrored[:, 0], 111 - first[:, 0], atol=1e-4)
    output = np.stack([halves, halves], axis=1).astype(np.float32)[None]
    from_centre = read_adapter("pfld").fractions(output)[0]
    np.testing.assert_allclose(112 * from_centre + 55.5, first, atol=1e-4)


def test_predictions_of_a_turned_photograph_become_labels_of_the_stored_pixels(
    tmp_path: Path,
) -> None:
    """Orientation 6: the stored picture must be turned clockwise to be upright."""
    MADE["predictions"](tmp_path)
    record = json.loads((tmp_path / "one.json").read_text())
    picture = tmp_path / "test/4.jpg"
    stored = cv2.imread(str(picture))
    exif = bytes.fromhex("4578696600004d4d002a00000008000101120003000000010006000000000000")
    done, jpeg = cv2.imencode(".jpg", stored)
    assert done
    content = jpeg.tobytes()
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    picture.write_bytes(content[:2] + segment + content[2:])
    landmarks = shape(68, 3)
    upright = np.stack([HEIGHT - 1 - landmarks[:, 1], landmarks[:, 0]], axis=-1)
    record["image"] |= {"width": HEIGHT, "height": WIDTH}
    record["faces"][0]["landmarks"] = upright.tolist()
    record["faces"][0]["box"] = [HEIGHT - 1 - 84.0, 20.0, HEIGHT - 1 - 15.0, 99.0]
    (tmp_path / "one.json").write_text(json.dumps(record))
    faces = {face.name: face for face in load_dataset(tmp_path, "predictions").faces}
    face = faces["test/4.jpg"]
    np.testing.assert_allclose(face.landmarks, landmarks, atol=1e-3)
    assert face.detector_box is not None
    np.testing.assert_allclose(face.detector_box, (20, 15, 99, 84), atol=1e-3)


def turned_jpeg(path: Path, orientation: int) -> None:
    """A JPEG that is stored with WIDTH x HEIGHT pixels and is to be turned by EXIF."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation])
    exif += bytes(6)
    done, jpeg = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert done
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(jpeg.tobytes()[:2] + segment + jpeg.tobytes()[2:])


@pytest.mark.parametrize(
    ("sides", "orientation", "is_upright"),
    [
        ((WIDTH, HEIGHT), 6, False),  # of the stored picture, as OpenCV's and COCO's tools count
        ((HEIGHT, WIDTH), 6, True),  # of the upright one, as viewers and FiftyOne do
        ((HEIGHT, WIDTH), 5, True),  # and mirrored
        ((None, None), 6, False),
        ((WIDTH, HEIGHT), 3, False),  # upside down, which the sides do not tell
    ],
)
def test_sides_of_a_coco_image_say_which_picture_its_points_are_of(
    tmp_path: Path, sides: tuple[int | None, ...], orientation: int, is_upright: bool
) -> None:
    """Orientation 6: stored (x, y) is at (HEIGHT - 1 - y, x) of the upright picture; 5: (y, x)."""
    stored = shape(68, 3)
    written, box = stored, [20.0, 15.0, 80.0, 70.0]
    if is_upright:
        x = stored[:, 1] if orientation == 5 else HEIGHT - 1 - stored[:, 1]
        written = np.stack([x, stored[:, 0]], axis=-1)
        left = 15.0 if orientation == 5 else HEIGHT - 1 - 85.0
        box = [left, 20.0, 70.0, 80.0]
        if orientation == 5:  # what is left in the mirror image is right
            written = written[scheme_of(68).mirror]
    content = json.loads(coco_json([("a.jpg", written)]))
    width, height = sides
    content["images"][0] |= {"width": width, "height": height}
    content["annotations"][0]["bbox"] = box
    put(tmp_path / "faces.json", json.dumps(content))
    turned_jpeg(tmp_path / "a.jpg", orientation)
    (face,) = load_dataset(tmp_path, "coco").faces
    np.testing.assert_allclose(face.landmarks, stored, atol=1e-3)
    assert face.detector_box is not None
    np.testing.assert_allclose(face.detector_box, (20, 15, 100, 85), atol=1e-3)


def test_swapped_sides_of_a_coco_image_without_a_rotation_are_told(tmp_path: Path) -> None:
    content = json.loads(coco_json([("a.jpg", shape(68)), ("b.jpg", shape(68))]))
    content["images"][0] |= {"width": HEIGHT, "height": WIDTH}
    put(tmp_path / "faces.json", json.dumps(content))
    put_picture(tmp_path / "a.jpg", 0)
    put_picture(tmp_path / "b.jpg", 1)
    dataset = load_dataset(tmp_path, "coco", max_bad_share=0.5)
    assert [face.name for face in dataset.faces] == ["b.jpg"]
    assert f"expected a picture of {HEIGHT} x {WIDTH} pixels" in dataset.problems[0].reason
    assert "without an EXIF rotation" in dataset.problems[0].reason


def test_predictions_keep_a_scheme_of_ones_own(tmp_path: Path) -> None:
    """One of 68 points, which their number alone would make 300-W's."""
    MADE["predictions"](tmp_path)
    pairs = [[i, i + 34] for i in range(34)]
    own = Scheme.from_json({"name": "cat", "points": 68, "normaliser": "box", "mirror": pairs})
    for path in (tmp_path / "one.json", tmp_path / "faces.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()] if (
            path.suffix == ".jsonl"
        ) else [json.loads(path.read_text())]  # fmt: skip
        lines = [json.dumps({**record, "scheme": own.reference}) for record in records]
        path.write_text("\n".join(lines))
    dataset = load_dataset(tmp_path, "predictions")
    assert (dataset.scheme, len(dataset.faces)) == (own, 4)


STORED = {"left_eye": (40, 30), "right_eye": (80, 30), "nose_tip": (60, 50),
          "mouth_left": (45, 70), "mouth_right": (75, 70)}  # fmt: skip
# What EXIF 6 and 2 make of a stored point: turned clockwise, and mirrored (where names swap).
MIRRORED = {"left_eye": "right_eye", "mouth_left": "mouth_right"}
MIRRORED |= {right: left for left, right in MIRRORED.items()}
SHOWN = {
    6: {name: (HEIGHT - 1 - y, x) for name, (x, y) in STORED.items()},
    2: {MIRRORED.get(name, name): (WIDTH - 1 - x, y) for name, (x, y) in STORED.items()},
}


def labelled_by(
    tool: str, folder: Path, points: dict[str, tuple[int, int]], size: list[int]
) -> None:
    """What a tool writes of points that were set on a picture of this size; all measure from the
    corner."""
    width, height = size
    corner = {name: (x + 0.5, y + 0.5) for name, (x, y) in points.items()}
    if tool == "labelme":
        shapes = [
            {"label": name, "points": [[x, y]], "group_id": None, "shape_type": "point",
             "flags": {"hidden": name == "left_eye"}}
            for name, (x, y) in corner.items()
        ]  # fmt: skip
        record: object = {"shapes": shapes, "imagePath": "a.jpg", "imageData": None,
                          "imageWidth": width, "imageHeight": height}  # fmt: skip
        (folder / "a.json").write_text(json.dumps(record))
    elif tool == "label_studio":
        result = [
            {"id": name, "type": "keypointlabels", "original_width": width,
             "original_height": height, "image_rotation": 0,
             "value": {"x": 100 * x / width, "y": 100 * y / height, "width": 0.5,
                       "keypointlabels": [name, *(["hidden"] if name == "left_eye" else [])]}}
            for name, (x, y) in corner.items()
        ]  # fmt: skip
        task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": result}]}
        (folder / "a.json").write_text(json.dumps([task]))
    else:
        marks = "".join(
            f'<points label="{name}" outside="0" occluded="{int(name == "left_eye")}" '
            f'points="{x},{y}"/>'
            for name, (x, y) in corner.items()
        )
        (folder / "annotations.xml").write_text(
            f'<annotations><image id="0" name="a.jpg" width="{width}" height="{height}">'
            f'<skeleton label="face" occluded="0">{marks}</skeleton></image></annotations>'
        )


@pytest.mark.parametrize("tool", ["labelme", "label_studio", "cvat"])
@pytest.mark.parametrize("orientation", [6, 2])
def test_tools_that_show_pictures_upright_give_labels_of_the_stored_pixels(
    tool: str, orientation: int, tmp_path: Path
) -> None:
    turned_jpeg(tmp_path / "a.jpg", orientation)
    size = [HEIGHT, WIDTH] if orientation == 6 else [WIDTH, HEIGHT]
    labelled_by(tool, tmp_path, SHOWN[orientation], size)
    (face,) = load_dataset(tmp_path, tool).faces
    np.testing.assert_allclose(face.landmarks, list(STORED.values()), atol=1e-3)
    # The left eye of the upright picture is the right one of a mirror image.
    assert face.visibility is not None
    assert np.flatnonzero(face.visibility == 0) == [0 if orientation == 6 else 1]


@pytest.mark.parametrize("tool", ["labelme", "label_studio", "cvat"])
def test_a_tool_that_did_not_turn_the_picture_is_believed(tool: str, tmp_path: Path) -> None:
    turned_jpeg(tmp_path / "a.jpg", 6)
    labelled_by(tool, tmp_path, STORED, [WIDTH, HEIGHT])
    (face,) = load_dataset(tmp_path, tool).faces
    np.testing.assert_allclose(face.landmarks, list(STORED.values()), atol=1e-3)


def test_cofw_says_what_to_install_without_h5py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MADE["cofw"](tmp_path / "data")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependency, match=re.escape(install_command("hdf5"))):
        load_dataset(tmp_path / "data", "cofw")


def test_cofw_reads_no_other_file(tmp_path: Path) -> None:
    """HDF5 can link to other files, and keep an array's values in them."""
    import h5py

    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["phisT"] = np.zeros((87, 2))
    (tmp_path / "values.bin").write_bytes(bytes(8 * 87 * 2))
    root = tmp_path / "data"
    for name in ("link", "values", "virtual"):
        MADE["cofw"](root / name)
        with h5py.File(root / name / "COFW_test_color.mat", "r+") as file:
            del file["phisT"]
            if name == "link":
                file["phisT"] = h5py.ExternalLink(str(secret), "/phisT")
            elif name == "values":
                values = [(str(tmp_path / "values.bin"), 0, 8 * 87 * 2)]
                file.create_dataset("phisT", (87, 2), "f8", external=values)
            else:
                layout = h5py.VirtualLayout((87, 2), "f8")
                layout[:] = h5py.VirtualSource(str(secret), "phisT", shape=(87, 2))
                file.create_virtual_dataset("phisT", layout)
    dataset = load_dataset(root, "cofw", max_bad_share=0.5)
    assert len(dataset.faces) == 6  # the training faces of three folders
    reasons = {problem.name.split("/")[0]: problem.reason for problem in dataset.problems}
    assert reasons == {
        "link": "expected phisT in the file itself, got a link",
        "values": "expected phisT in the file itself, its values are in other files",
        "virtual": "expected phisT in the file itself, its values are in other files",
    }


def test_a_picture_of_cofw_that_is_none_is_one_problem(tmp_path: Path) -> None:
    import h5py

    MADE["cofw"](tmp_path)
    with h5py.File(tmp_path / "COFW_test_color.mat", "r+") as file:
        del file["#refs#/2"]
        file["#refs#/2"] = np.zeros((3, 4, 5, 6))
        file["IsT"][0, 0] = file["#refs#/2"].ref
    result = inspect_dataset(tmp_path, "cofw")
    assert result.faces == 3
    assert [(problem.name, problem.reason) for problem in result.problems] == [
        ("COFW_test_color/0001.png", "picture 1: expected uint8 [3, W, H], got (3, 4, 5, 6)")
    ]


def test_a_matlab_file_of_another_version_is_named(tmp_path: Path) -> None:
    MADE["cofw"](tmp_path)
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600, b" "))
    dataset = load_dataset(tmp_path, "cofw", max_bad_share=0.5)
    assert [problem.reason for problem in dataset.problems] == [
        "expected MATLAB 7.3 (HDF5), got a MATLAB file"
    ]


def test_a_single_file_is_a_data_set_too(tmp_path: Path) -> None:
    MADE["imglab"](tmp_path)
    dataset = load_dataset(tmp_path / "labels_ibug_300W_test.xml", "imglab")
    assert [face.name for face in dataset.faces] == ["ibug/4.jpg", "lfpw/testset/3.jpg"]


def test_inspect_leaves_out_a_picture_of_cofw_that_is_damaged_inside(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    MADE["cofw"](tmp_path)
    with h5py.File(tmp_path / "COFW_train_color.mat", "r+") as file:
        replaced = file["#refs#"].create_dataset("x", data=np.zeros((3, 9, 9), np.float32))
        cell = file["IsTr"][()]
        cell[0, 1] = replaced.ref
        file["IsTr"][...] = cell
    call = ["data", "inspect", "--data", str(tmp_path), "--format", "cofw"]
    result = CliRunner().invoke(main, [*call, "--max-bad-share", "0.5"])
    assert result.exit_code == 0, result.output
    assert "picture 2: expected uint8" in result.output
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 1 and "Error: " in refused.stderr


HEAD = ("left_ear", "right_ear", "nose_tip", "mouth_left", "mouth_right", "chin", "whisker")


def inspected(data: Path, format: str, *options: object) -> tuple[int, str]:
    """How many points a face has, and what was said on stderr."""
    call = ("data", "inspect", "--data", data, "--format", format, "--max-bad-share", 1, "--json")
    result = CliRunner().invoke(main, [*map(str, (*call, *options))])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["points"], " ".join(result.stderr.split())


def test_labels_that_leave_their_scheme_open_are_told_with_the_way_to_another(
    tmp_path: Path,
) -> None:
    shapes = [point(name, 10.0 + 7 * n, 20.0 + n * n) for n, name in enumerate(HEAD)]
    put_labelme(tmp_path / "data", "head", shapes)
    points, said = inspected(tmp_path / "data", "labelme")
    assert points == 21
    assert "data: 6 of 7 labels are taken, by name, for 6 of the 21 points of scheme 21" in said
    assert "Points of another scheme: --scheme NAME|FILE" in said
    own = tmp_path / "own.toml"
    own.write_text(f'name = "head"\npoints = 7\nnames = {json.dumps(HEAD)}\nnormaliser = "box"\n')
    points, said = inspected(tmp_path / "data", "labelme", "--scheme", own)
    assert points == 7 and "taken" not in said


def test_the_scheme_that_is_asked_for_wins_where_labels_are_names_of_several(
    tmp_path: Path,
) -> None:
    shapes = [point("chin", 60, 70), point("nose_tip", 60, 50)]
    put_labelme(tmp_path / "data", "head", shapes)
    points, said = inspected(tmp_path / "data", "labelme")
    assert points == 19 and "for 2 of the 19 points of scheme 19" in said
    points, said = inspected(tmp_path / "data", "labelme", "--scheme", 68)
    assert points == 68 and "taken" not in said


def test_keypoints_with_names_of_no_scheme_are_told_to_be_taken_by_their_count(
    tmp_path: Path,
) -> None:
    text = coco_json([("0.jpg", shape(68))], names=[f"spot_{n:c}" for n in range(256, 324)])
    put_coco(tmp_path / "data", text, 1)
    points, said = inspected(tmp_path / "data", "coco")
    assert points == 68
    assert "are taken, in their order, for the 68 points of scheme 68 (300-W, Multi-PIE)" in said
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\npoints = 68\nnormaliser = "box"\n')
    points, said = inspected(tmp_path / "data", "coco", "--scheme", own)
    assert points == 68 and "taken" not in said


def test_names_of_a_scheme_say_it_whichever_with_as_many_points_was_asked_for(
    tmp_path: Path,
) -> None:
    """Put into the order of the one scheme, keypoints must not be called those of the other."""
    own = Scheme.from_json({"name": "own", "points": 68, "normaliser": "box"})
    names = scheme_of(68).names[::-1]
    put_coco(tmp_path, coco_json([("0.jpg", shape(68)[::-1])], names=names), 1)
    dataset = load_dataset(tmp_path, "coco", scheme=own)
    assert dataset.scheme == scheme_of(68)
    np.testing.assert_allclose(dataset.faces[0].landmarks, shape(68), atol=1e-4)


def test_names_of_a_few_points_of_a_larger_scheme_do_not_order_a_smaller_one(
    tmp_path: Path,
) -> None:
    names = scheme_of(68).names[:5][::-1]
    five = [(60, 50), (80, 50), (70, 60), (62, 72), (78, 72)]
    put_coco(tmp_path / "data", coco_json([("0.jpg", np.array(five, float))], names=names), 1)
    points, said = inspected(tmp_path / "data", "coco")
    assert points == 5 and "in their order, for the 5 points of scheme 5" in said
    found = load_dataset(tmp_path / "data", "coco").faces[0].landmarks
    np.testing.assert_allclose(found, five, atol=1e-4)


def test_one_data_set_does_not_name_its_points_by_two_schemes(tmp_path: Path) -> None:
    own = Scheme.from_json({"name": "own", "points": 68, "normaliser": "box"})
    for number, names in enumerate([own.names, scheme_of(68).names]):
        picture = f"{number}.jpg"
        put(tmp_path / f"{number}.json", coco_json([(picture, shape(68))], names=names))
        put_picture(tmp_path / picture, number)
    with pytest.raises(DatasetError, match="named as of one scheme, got 68 and own"):
        load_dataset(tmp_path, "coco", scheme=own)


@pytest.mark.parametrize("format", ["labelme", "label_studio", "cvat", "imglab", "coco"])
def test_labels_that_are_all_points_of_a_scheme_need_no_word(tmp_path: Path, format: str) -> None:
    MADE[format](tmp_path / "data")
    assert "taken" not in inspected(tmp_path / "data", format)[1]
