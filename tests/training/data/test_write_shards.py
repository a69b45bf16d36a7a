"""Writing prepared data sets with TensorFlow and reading them without."""

import csv
import errno
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import alone_in
from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.datasets.read_shards import INDEX
from asmnet_kit.datasets.registry import load_dataset, splits_of
from asmnet_kit.datasets.surroundings import surroundings
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.pictures import decode_image
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.training.data.write_shards import PLAN, prepare
from wording import BUSY, TRUNCATED_JPEG


def landmarks(*, centre: tuple[float, float], side: float) -> np.ndarray:
    """68 points on a grid that fills a square."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 17), np.linspace(-0.5, 0.5, 4))
    return (np.stack([x.ravel(), y.ravel()], axis=1) * side + centre).astype(np.float32)


def face(folder: Path, name: str, *, size: int = 100, side: float = 50, **more: object) -> Face:
    """A face of ``side`` pixels in a random picture of ``size``."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(name.encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    points = landmarks(centre=(size / 2, size / 2), side=side)
    return Face(name=name, picture=PictureFile(path), landmarks=points, **more)  # type: ignore[arg-type]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Twelve faces in two splits; one lacks a point, one has a pose and a box."""
    folder = tmp_path / "faces"
    faces = [
        face(folder, f"train/s{i % 2}/{i:02}.jpg", split="train", subsets=(f"s{i % 2}",))
        for i in range(10)
    ]
    faces[3].landmarks[5] = np.nan
    faces.append(
        face(
            folder,
            "val/ü 1.png",
            split="val",
            pose=np.array([10, -20, 5], np.float32),
            detector_box=np.array([1, 2, 90, 95], np.float32),
        )
    )
    return Dataset("faces", "300w", SCHEME_68, tuple(sorted(faces, key=lambda f: f.name)))


def test_what_is_written_is_read_back_without_tensorflow(dataset: Dataset, tmp_path: Path) -> None:
    prepared = prepare(dataset, tmp_path / "out")
    back = load_dataset(tmp_path / "out", "records")
    assert prepared.faces == len(back.faces) == 11
    assert back.scheme.points == 68 and back.format == "records"
    for before, after in zip(dataset.faces, back.faces, strict=True):
        assert (before.name, before.split, before.subsets) == (
            after.name,
            after.split,
            after.subsets,
        )
        np.testing.assert_array_equal(before.landmarks, after.landmarks)
        assert before.picture.read_encoded() == after.picture.read_encoded()
    last = back.faces[-1]
    assert last.pose is not None and last.pose.tolist() == [10, -20, 5]
    assert last.detector_box is not None and last.detector_box.tolist() == [1, 2, 90, 95]
    assert back.faces[0].pose is None and back.faces[0].detector_box is None
    assert splits_of(tmp_path / "out", "records") == ("train", "val")
    assert len(load_dataset(tmp_path / "out", "records", split="train", subset="s1").faces) == 5


def test_splits_of_any_name_are_kept(tmp_path: Path) -> None:
    """Also those that no file can be called by, or that are called like another's shards."""
    splits = ["all", None, "a/b", "a_b", "A_B", "..", "x" * 300, "fold 1"]
    for number in range(len(splits)):
        face(tmp_path / "faces", f"{number}.png")
    rows = [
        [f"{number}.png", *landmarks(centre=(50, 50), side=50).ravel().tolist(), split or ""]
        for number, split in enumerate(splits)
    ]
    header = ["file", *(f"{axis}{i}" for i in range(68) for axis in "xy"), "split"]
    with (tmp_path / "faces" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    data = ["--data", str(tmp_path / "faces"), "--format", "csv", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["data", "prepare", *data])
    assert done.exit_code == 0, done.output
    back = load_dataset(tmp_path / "out", "records")
    assert [face.split for face in back.faces] == splits
    assert (tmp_path / "out" / "fold 1-00000.tfrecord").exists()


def test_shards_keep_what_is_known_of_visibility(dataset: Dataset, tmp_path: Path) -> None:
    marks = np.array([1, 0, np.nan, *[1] * 65], np.float32)
    first = replace(dataset.faces[0], visibility=marks)
    marked = replace(dataset, faces=(first, *dataset.faces[1:]))
    prepare(marked, tmp_path / "out")
    back = load_dataset(tmp_path / "out", "records")
    np.testing.assert_array_equal(back.faces[0].visibility, marks)
    assert all(face.visibility is None for face in back.faces[1:])
    # Shards that do not know it are not taken for these.
    prepare(dataset, tmp_path / "earlier")
    with pytest.raises(UsageError, match="boxes or visibility differ"):
        prepare(marked, tmp_path / "earlier")


def test_tensorflow_reads_the_same_features(dataset: Dataset, tmp_path: Path) -> None:
    prepare(dataset, tmp_path / "out")
    records = tf.data.TFRecordDataset(str(tmp_path / "out" / "val-00000.tfrecord"))
    (record,) = records.as_numpy_iterator()  # also checks the checksums of the data
    features = tf.train.Example.FromString(record).features.feature
    assert features["name"].bytes_list.value[0].decode() == "val/ü 1.png"
    assert features["image/format"].bytes_list.value[0] == b"png"
    assert len(features["landmarks"].float_list.value) == 136
    assert list(features["pose"].float_list.value) == [10, -20, 5]
    assert list(features["subsets"].bytes_list.value) == []


def test_the_index_says_what_is_there(dataset: Dataset, tmp_path: Path) -> None:
    prepare(dataset, tmp_path / "out")
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert index["points"] == 68 and index["format"] == "300w" and index["name"] == "faces"
    assert index["splits"] == {"train": 10, "val": 1}
    assert index["subsets"] == {"s0": 5, "s1": 5}
    assert index["fingerprint"] == dataset.fingerprint()
    assert not (tmp_path / "out" / PLAN).exists()


def test_a_bright_pixel_stays_under_its_landmark_when_the_picture_is_shrunk(tmp_path: Path) -> None:
    """A 1200 px picture with a 300 px face: the 600 px window becomes 200 px (scale 1/3).

    The window starts at 600 - 300 = 300, so block k of 3 x 3 pixels starts at 300 + 3 k and its
    centre 300 + 3 k + 1 lies on small pixel k. A lit block k = (90, 110) is pixels 570..572,
    630..632 with centre (571, 631). The window holds one pixel more (both its ends count): 601 px
    become 200, so p maps to (p - 300 + 0.5) 200/601 - 0.5; that moves a point by at most 0.25 px.
    """
    picture = np.zeros((1200, 1200, 3), np.uint8)
    picture[630:633, 570:573] = 255
    path = tmp_path / "big.png"
    cv2.imwrite(str(path), picture)
    points = landmarks(centre=(600, 600), side=300)
    points[7] = (571, 631)
    box = np.array([450, 450, 750, 750], np.float32)
    kept = surroundings(Face("big.png", PictureFile(path), points, detector_box=box), 200)
    small = decode_image(kept.encoded, name="small").astype(float).sum(axis=2)
    assert kept.format == "jpeg" and small.shape == (200, 200)
    small[small < small.max() / 4] = 0
    rows, columns = np.mgrid[:200, :200]
    found = np.array([(small * columns).sum(), (small * rows).sum()]) / small.sum()
    np.testing.assert_allclose(kept.landmarks[7], found, atol=0.25)
    np.testing.assert_allclose(kept.landmarks[7], [90, 110], atol=0.25)
    assert kept.detector_box is not None
    np.testing.assert_allclose(kept.detector_box, [49.5832, 49.5832, 149.4168, 149.4168], atol=1e-3)


def test_a_window_at_the_border_is_cut_without_padding(tmp_path: Path) -> None:
    """A 40 px face at (20, 30) of a 400 px picture: the window reaches -20..60 and -10..70."""
    where = face(tmp_path, "a.jpg", size=400, side=40)
    where = Face(where.name, where.picture, landmarks(centre=(20, 30), side=40))
    kept = surroundings(where, 384)
    assert decode_image(kept.encoded, name="a").shape == (71, 61, 3)
    np.testing.assert_allclose(kept.landmarks, where.landmarks, atol=1e-4)


def test_a_picture_that_fits_keeps_its_bytes(tmp_path: Path) -> None:
    small = face(tmp_path, "a.jpg", size=100, side=40)  # the window is 64 % of the picture
    kept = surroundings(small, 384)
    assert kept.encoded == (tmp_path / "a.jpg").read_bytes()
    assert kept.landmarks is small.landmarks


def test_a_face_outside_its_picture_is_refused(tmp_path: Path) -> None:
    inside = face(tmp_path, "a.jpg")
    outside = Face("a.jpg", inside.picture, landmarks(centre=(900, 900), side=50))
    with pytest.raises(DatasetError, match="outside the picture of 100 x 100"):
        surroundings(outside, 384)


def test_undecodable_pictures_are_left_out_and_listed(dataset: Dataset, tmp_path: Path) -> None:
    bad = tmp_path / "faces" / dataset.faces[4].name
    bad.write_bytes(bad.read_bytes()[:200])
    gone, locked = (tmp_path / "faces" / dataset.faces[number].name for number in (6, 0))
    with pytest.raises(DatasetError, match="1 of 10 pictures cannot be used, more than 5%"):
        prepare(dataset, tmp_path / "strict")

    class Locked(PictureFile):
        """A file whose size is known and whose content may not be read; root may read any."""

        def read_encoded(self) -> bytes:
            raise PermissionError(errno.EACCES, "Permission denied", str(self.path))

    faces = (replace(dataset.faces[0], picture=Locked(locked)), *dataset.faces[1:])
    # Its size goes into the fingerprint, so the picture must be there at first.
    prepared = prepare(
        replace(dataset, faces=faces),
        tmp_path / "out",
        max_bad_share=0.5,
        progress=lambda done, total: gone.unlink(missing_ok=True),
    )
    assert prepared.faces == 8
    reasons = {problem.name: problem.reason for problem in prepared.problems}
    assert list(reasons) == [dataset.faces[number].name for number in (0, 4, 6)]
    assert "Permission denied" in reasons[dataset.faces[0].name]
    assert TRUNCATED_JPEG in reasons[dataset.faces[4].name]
    assert "No such file" in reasons[dataset.faces[6].name]
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert {problem["name"]: problem["reason"] for problem in index["problems"]} == reasons


def test_a_folder_that_another_call_prepares_is_left_alone(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with alone_in(out), pytest.raises(UsageError, match=BUSY):
        prepare(dataset, out)
    assert not list(out.iterdir())


def test_data_prepared_from_300w_lp_keeps_views_of_a_photograph_together(
    dataset: Dataset, tmp_path: Path
) -> None:
    prepare(replace(dataset, format="300w_lp"), tmp_path / "out")
    assert load_dataset(tmp_path / "out", "records").origins == ("300w_lp",)


def test_a_repeated_call_writes_nothing_again(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(dataset, out, shard_bytes=20_000)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    assert len(before) > 3
    prepare(dataset, out, shard_bytes=20_000)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")} == before


def test_a_killed_call_is_continued(dataset: Dataset, tmp_path: Path) -> None:
    """The process dies without a chance to clean up; the next call keeps its whole shards."""
    out, reference = tmp_path / "out", tmp_path / "reference"
    script = f"""
import os
from pathlib import Path
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.training.data.write_shards import prepare
dataset = load_dataset(Path({str(tmp_path / "disk")!r}), "300w")
def die(done, total):
    if done == 7:
        os._exit(9)
prepare(dataset, Path({str(out)!r}), shard_bytes=30_000, progress=die)
"""
    from asmnet_kit.datasets.pts import write_pts

    for index in range(10):
        one = face(tmp_path / "disk", f"train/{index}.jpg")
        write_pts(tmp_path / "disk" / f"train/{index}.pts", one.landmarks)
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == 9, killed.stderr.decode()
    whole = sorted(path.name for path in out.glob("train-*.tfrecord"))
    assert whole and list(out.glob(".*.part.tfrecord"))
    with pytest.raises(DatasetError, match="preparing was interrupted"):
        load_dataset(out, "records")
    first = (out / whole[0]).stat().st_mtime_ns
    again = load_dataset(tmp_path / "disk", "300w")
    prepared = prepare(again, out, shard_bytes=30_000)
    assert prepared.faces == 10 and (out / whole[0]).stat().st_mtime_ns == first
    prepare(again, reference, shard_bytes=30_000)
    for path in sorted(reference.iterdir()):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert {p.name for p in out.iterdir()} == {p.name for p in reference.iterdir()}


def test_a_folder_of_other_data_is_not_mixed(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(dataset, out)
    with pytest.raises(UsageError, match=r"other data or options \(size differ\)"):
        prepare(dataset, out, size=256)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "x.tfrecord").write_bytes(b"")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        prepare(dataset, tmp_path / "strange")


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., Path]:
    """Writes a CSV of one face; all but the pictures can be chosen."""

    def write(**columns: object) -> Path:
        folder = tmp_path / "labelled"
        folder.mkdir(exist_ok=True)
        if not (folder / "a.jpg").exists():
            cv2.imwrite(str(folder / "a.jpg"), np.full((100, 100, 3), 90, np.uint8))
        points = landmarks(centre=(50, 50), side=50).ravel()
        names = [f"{axis}{point}" for point in range(68) for axis in "xy"]
        row = {"file": "a.jpg", **dict(zip(names, points.tolist(), strict=True)), **columns}
        rows = [",".join(row), ",".join(map(str, row.values()))]
        (folder / "faces.csv").write_text("\n".join(rows) + "\n")
        return folder

    return write


LABELS = {"yaw": 1, "pitch": 2, "roll": 3, "split": "train", "subset": "dark"} | {
    f"box_{name}": value for name, value in (("x0", 1), ("y0", 2), ("x1", 90), ("y1", 95))
}


@pytest.mark.parametrize(
    "change", [{"yaw": 9}, {"split": "val"}, {"subset": "bright"}, {"box_x1": 91}], ids=str
)
def test_prepare_does_not_take_shards_of_other_labels_for_these(
    labelled: Callable[..., Path], tmp_path: Path, change: dict[str, object]
) -> None:
    out = tmp_path / "shards"

    def prepare_again() -> Result:
        words = ("data", "prepare", "--data", labelled(**LABELS), "--format", "csv", "--out", out)
        return CliRunner().invoke(main, [str(word) for word in words])

    first, again = prepare_again(), prepare_again()
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    labelled(**(LABELS | change))
    words = ("data", "prepare", "--data", tmp_path / "labelled", "--format", "csv", "--out", out)
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2
    assert "poses, splits, subsets, boxes or visibility differ" in result.stderr
    (kept,) = load_dataset(out, "records").faces
    assert kept.pose is not None and kept.pose.tolist() == [1, 2, 3]


def test_shards_of_an_earlier_version_are_finished_and_do_not_claim_these_labels(
    dataset: Dataset, tmp_path: Path
) -> None:
    """They did not note what they do not know."""
    prepare(dataset, tmp_path / "out")
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert index["labels_fingerprint"] == dataset.labels_fingerprint()
    del index["labels_fingerprint"], index["prepared"]["labels_fingerprint"]
    (tmp_path / "out" / INDEX).write_text(json.dumps(index))
    prepare(dataset, tmp_path / "out")
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert index["labels_fingerprint"] is None
    assert "labels_fingerprint" not in index["prepared"]


def test_cut_off_and_missing_shards_are_errors_that_name_them(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare(dataset, out, shard_bytes=20_000)
    shard = out / "train-00001.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(DatasetError, match=r"train-00001\.tfrecord: cut off or changed"):
        load_dataset(out, "records")
    with pytest.raises(DatasetError, match=r"train-00001\.tfrecord: cut off in record"):
        prepare(dataset, out, shard_bytes=20_000)
    shard.unlink()
    with pytest.raises(DatasetError, match=r"train-00001\.tfrecord: this shard is missing"):
        load_dataset(out, "records")
    prepare(dataset, out, shard_bytes=20_000)  # what the message told to do
    assert shard.read_bytes() == whole
    assert len(load_dataset(out, "records").faces) == 11


def test_a_folder_that_was_never_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a folder written by data prepare"):
        load_dataset(tmp_path, "records")
    (tmp_path / INDEX).write_text('{"schema_version": 99, "shards": {}}')
    with pytest.raises(DatasetError, match="expected schema_version 1, got 99"):
        load_dataset(tmp_path, "records")


def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path) -> None:
    """By the command, a damaged picture among them."""
    data = tmp_path / "drawn"
    write_faces(data, DRAWN, count=40, seed=1, size=64)
    (data / "train" / "face_000003.jpg").write_bytes(b"\xff\xd8\xff no picture \xff\xd9")
    for workers in ("1", "2"):
        words = ["data", "prepare", "--data", str(data), "--format", "synthetic", "--workers",
                 workers, "--out", str(tmp_path / workers)]  # fmt: skip
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        assert "39 faces in 3 shards" in result.output
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / workers).iterdir()}
        for workers in ("1", "2")
    )
    assert one == two and len(one) == 6  # three shards, the index, the table and its names
    assert multiprocessing.active_children() == []
