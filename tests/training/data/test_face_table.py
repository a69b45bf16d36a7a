"""Prepared data by its table of labels, from a folder and from a server."""

import hashlib
import http.server
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import DatasetError, KitError, Outage, ServerError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.datasets import read_shards, remote
from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.datasets.face_table import ROWS, FaceTable, row_type
from asmnet_kit.datasets.read_shards import INDEX
from asmnet_kit.datasets.registry import load_dataset, splits_of
from asmnet_kit.face.crop import Crop, crop_fractions, landmark_box
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.training.cluster import supervisor
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data import batches
from asmnet_kit.training.data.batches import TableTargets, Targets, targets_of
from asmnet_kit.training.data.sampling import Sampling, sampling_of
from asmnet_kit.training.data.sources import choose_sources
from asmnet_kit.training.data.write_shards import prepare
from wording import VALIDATION_NME


def face(folder: Path, name: str, seed: int, **more: object) -> Face:
    random = np.random.default_rng(seed)
    path = folder / name.replace("\udcfc", "ue")
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), random.integers(0, 256, (90, 90, 3), np.uint8))
    points = random.uniform(10, 80, (68, 2)).astype(np.float32)
    return Face(name=name, picture=PictureFile(path), landmarks=points, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Faces of three splits, whose names are in another order than the splits', and all labels."""
    folder = tmp_path_factory.mktemp("faces")
    seen = np.ones(68, np.float32)
    seen[:5], seen[5:9] = 0, np.nan
    faces = [
        face(folder, f"{'zyx'[n % 3]}/{n:02}.png", n, split=("train", "val", None)[n % 3])
        for n in range(12)
    ]
    faces[0].landmarks[7] = np.nan
    faces[1] = replace(faces[1], pose=np.array([10, -0.0, 5], np.float32), visibility=seen)
    faces[3] = replace(faces[3], subsets=("dark", "bright"), visibility=seen)
    faces[4] = replace(faces[4], detector_box=np.array([1, 2, 88, 89], np.float32))
    faces[6] = replace(faces[6], subsets=("dark",))
    # Of a file system that knows no UTF-8; the second face of its picture.
    faces.append(face(folder, "a \udcfc\u20ac.png#2", 99, split="train"))
    return Dataset("faces", "300w", SCHEME_68, tuple(sorted(faces, key=lambda f: f.name)))


@pytest.fixture(scope="module")
def shards(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "shards"
    assert prepare(dataset, folder, fits_poses=True, shard_bytes=60_000).shards > 3
    return folder


@pytest.fixture
def by_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few faces there are."""
    monkeypatch.setattr(read_shards, "TABLE_FROM", 1)


def opened(place: Path | str, monkeypatch: pytest.MonkeyPatch, **choice: str) -> Dataset:
    monkeypatch.setattr(read_shards, "TABLE_FROM", 1)
    found = load_dataset(place, "records", **choice)
    assert isinstance(found.faces, FaceTable)
    return found


@pytest.mark.parametrize("choice", [{}, {"split": "train"}, {"split": "val"}, {"subset": "dark"}])
def test_the_table_gives_the_faces_that_the_shards_give(
    shards: Path, choice: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_dataset(shards, "records", **choice)
    assert isinstance(whole.faces, tuple)
    table = opened(shards, monkeypatch, **choice)
    assert [f.name for f in table.faces] == [f.name for f in whole.faces]
    for one, other in zip(whole.faces, table.faces, strict=True):
        assert (one.split, sorted(one.subsets)) == (other.split, sorted(other.subsets))
        assert one.picture.read_encoded() == other.picture.read_encoded()
        assert (one.read() == other.read()).all()
        for name in ("landmarks", "pose", "fitted_pose", "detector_box", "visibility"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert table.fingerprint() == whole.fingerprint()
    assert table.labels_fingerprint() == whole.labels_fingerprint()
    assert (table.scheme, table.name, table.origins) == (whole.scheme, whole.name, whole.origins)
    assert splits_of(shards, "records") == ("train", "val")


def test_unknown_splits_subsets_and_points_are_refused(shards: Path, by_table: None) -> None:
    for choice, expected in (
        ({"split": "test"}, "no split 'test'; its splits: train, val"),
        ({"subset": "wet"}, "no subset 'wet'; its subsets: bright, dark"),
        ({"points": 98}, "asked for 98 landmarks"),
    ):
        with pytest.raises(UsageError, match=expected):
            load_dataset(shards, "records", **choice)


def test_targets_by_table_are_those_of_the_faces(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_dataset(shards, "records")
    for subsets in ((), ("dark",)):
        expected = targets_of(whole.faces, SCHEME_68, visibility_subsets=subsets, crop_scale=1.4)
        assert isinstance(expected, Targets)
        faces = opened(shards, monkeypatch).faces
        found = targets_of(faces, SCHEME_68, visibility_subsets=subsets, crop_scale=1.4)
        assert isinstance(found, TableTargets)
        for index in range(len(faces)):
            for one, other in zip(expected.of(index), found.of(index), strict=True):
                np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(expected.mean_shape(), found.mean_shape(), atol=1e-6)


def test_fractions_of_many_faces_are_those_of_each(dataset: Dataset) -> None:
    landmarks = np.stack([one.landmarks for one in dataset.faces])
    for points, found in zip(landmarks, crop_fractions(landmarks, 1.3), strict=True):
        crop = Crop.from_box(landmark_box(points), size=1, scale=1.3)
        np.testing.assert_array_equal(crop.to_fractions(points), found)
    landmarks[2] = 5.0
    with pytest.raises(DatasetError, match="that lie apart, got 68 in face 2"):
        crop_fractions(landmarks, 1.3)


def test_an_order_without_weights_is_that_of_groups_of_one(dataset: Dataset) -> None:
    quick = sampling_of(dataset.faces, weights={}, clips=())
    count = len(dataset.faces)
    groups = Sampling(np.ones(count), tuple(np.array([n]) for n in range(count)))
    for seed in range(3):
        one, other = (s.draw(np.random.default_rng(seed)) for s in (quick, groups))
        assert one.tolist() == other.tolist()


def test_poses_are_fitted_once_and_are_no_labels(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = targets_of(dataset.faces, SCHEME_68).pose
    prepare(dataset, tmp_path / "shards", fits_poses=True)

    def fail(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(batches, "pose_from_landmarks", fail)
    back = load_dataset(tmp_path / "shards", "records")
    found = targets_of(back.faces, SCHEME_68).pose
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, fitted, atol=0.01)  # the surroundings are cut out of pictures
    assert sum(one.pose is not None for one in back.faces) == 1
    mapped = replace(back.faces[0], fitted_pose=np.zeros(3, np.float32))
    assert mapped.in_scheme(SCHEME_68, SCHEME_68).fitted_pose is None


def test_damage_is_refused(dataset: Dataset, tmp_path: Path, by_table: None) -> None:
    shards = tmp_path / "shards"
    prepare(dataset, shards)
    first = load_dataset(shards, "records").faces[0]
    shard = shards / Path(first.picture.name).name.partition("@")[0]
    content = bytearray(shard.read_bytes())
    content[first.picture.source.offset + 50] ^= 1  # type: ignore[attr-defined]
    shard.write_bytes(content)
    with pytest.raises(DatasetError, match=f"{shard.name}@.*checksum of this picture"):
        first.read()
    table = shards / "faces.table"
    content = bytearray(table.read_bytes())
    content[100] ^= 1
    table.write_bytes(content)
    with pytest.raises(DatasetError, match=r"faces\.table is damaged or of another data set"):
        load_dataset(shards, "records")


@pytest.mark.parametrize(
    "forged",
    ["ends that fall", "a split of none", "a subset of none", "infinite", "paths", "points"],
)
def test_a_forged_table_is_refused(
    forged: str, shards: Path, tmp_path: Path, by_table: None
) -> None:
    """Its checksums are right, since whoever wrote it wrote these too."""
    folder = tmp_path / "shards"
    shutil.copytree(shards, folder)
    index = json.loads((folder / INDEX).read_text())
    rows = np.frombuffer((folder / ROWS).read_bytes(), row_type(68)).copy()
    if forged == "ends that fall":
        rows["name_end"][3] = 1
    elif forged == "a split of none":
        rows["split"][0] = 7
    elif forged == "a subset of none":
        rows["subsets"][0] = 1 << 40
    elif forged == "infinite":
        rows["landmarks"][0, 0] = np.inf
    elif forged == "paths":
        index["table"]["shards"][0] = f"../{index['table']['shards'][0]}"
    else:
        index["points"] = -5
    (folder / ROWS).write_bytes(rows.tobytes())
    index["table"]["sha256"][ROWS] = hashlib.sha256(rows.tobytes()).hexdigest()
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=re.escape(str(folder))):
        load_dataset(folder, "records")


def test_pictures_held_out_are_the_same_by_table(
    drawn_faces: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And copies of pictures are found without reading all."""
    prepare(load_dataset(drawn_faces(12), "300w"), tmp_path / "shards")
    config = TrainConfig(data=str(tmp_path / "shards"), format="records", val_share=0.25)
    whole = choose_sources(config)
    opened(tmp_path / "shards", monkeypatch)
    table = choose_sources(config)
    for side in ("train", "val"):
        ours, theirs = getattr(table, side).faces, getattr(whole, side).faces
        assert [f.name for f in ours] == [f.name for f in theirs]
        assert isinstance(ours, FaceTable)


@pytest.mark.parametrize("by_table", ["train", "val"])
def test_faces_trained_on_are_refused_whichever_side_is_read_by_table(
    drawn_faces: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_table: str,
) -> None:
    """A folder of several prepared sets is read whole, a large one of them by its table."""
    prepare(load_dataset(drawn_faces(12), "300w"), tmp_path / "sets" / "large")
    prepare(load_dataset(drawn_faces(4), "300w"), tmp_path / "sets" / "small")
    monkeypatch.setattr(read_shards, "TABLE_FROM", 12)
    (tmp_path / "link").symlink_to(tmp_path / "sets" / "large")
    train, val = tmp_path / "sets", tmp_path / "link"
    if by_table == "train":
        train, val = val, train
    calls = [
        ("train", "--data", train, "--format", "records", "--val-data", val),
        ("train", "--data", train, "--format", "records", "--val-data", val, "--scheme", "68"),
    ]
    for call in calls:
        refused = kit(*call, "--batch-size", 2, "--epochs", 1, "--out", tmp_path / "run")
        assert refused.exit_code == 2 and "12 of its" in refused.output, refused.output
        assert not (tmp_path / "run").exists()
    apart = TrainConfig(
        data=str(tmp_path / "sets" / "small"), format="records", val_data=str(tmp_path / "link")
    )
    assert len(choose_sources(apart).val.faces) == 12


# On a server --------------------------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and ranges of them, as object stores give them."""

    def send_head(self):  # type: ignore[no-untyped-def]
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))  # type: ignore[attr-defined]
        if self.server.fails[self.path]:  # type: ignore[attr-defined]
            self.server.fails[self.path] -= 1  # type: ignore[attr-defined]
            self.send_error(503)
            return None
        if asked in self.server.refused:  # type: ignore[attr-defined]
            self.send_error(self.server.refused[asked])  # type: ignore[attr-defined]
            return None
        path = Path(self.translate_path(self.path))
        if asked is None or not self.server.knows_ranges or not path.is_file():  # type: ignore[attr-defined]
            return super().send_head()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        content = path.read_bytes()
        part = content[int(first) : int(last) + 1]
        if asked in self.server.damaged:  # type: ignore[attr-defined]
            part = bytes(len(part))
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, folder: Path) -> None:
        super().__init__(("localhost", 0), partial(Handler, directory=str(folder)))
        self.asked: list[tuple[str, str | None]] = []
        self.fails: Counter[str] = Counter()  # how often yet
        self.refused: dict[str | None, int] = {}  # ranges, and the status that is sent instead
        self.damaged: set[str | None] = set()
        self.knows_ranges = True
        self.url = f"http://localhost:{self.server_address[1]}"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Path], Server]]:
    monkeypatch.setattr(remote, "PAUSE_S", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    servers = []

    def start(folder: Path) -> Server:
        servers.append(Server(folder))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_faces_on_a_server_are_those_in_the_folder(
    shards: Path, serve: Callable[[Path], Server]
) -> None:
    """Only what is looked at is fetched, the labels once."""
    server = serve(shards.parent)
    server.fails["/shards/dataset.json"] = 1  # once, as networks do
    found = load_dataset(f"{server.url}/shards/", "records", split="train")
    here = load_dataset(shards, "records", split="train")
    assert found.fingerprint() == here.fingerprint() and found.name == "shards"
    assert not [path for path, _ in server.asked if path.endswith(".tfrecord")]
    assert isinstance(found.faces, FaceTable)
    pairs = zip(found.faces.with_pictures([3, 1]), (here.faces[3], here.faces[1]), strict=True)
    for one, other in pairs:
        assert (one.read() == other.read()).all()
        assert one.picture.read_encoded() == other.picture.read_encoded()
    fetched = [(path, part) for path, part in server.asked if path.endswith(".tfrecord")]
    assert len(fetched) == 2 and all(part for _, part in fetched)
    tables = [path for path, _ in server.asked if path.endswith(".table")]
    load_dataset(f"{server.url}/shards", "records")
    assert [path for path, _ in server.asked if path.endswith(".table")] == tables


def test_what_a_server_cannot_give_is_said(
    shards: Path, tmp_path: Path, serve: Callable[[Path], Server]
) -> None:
    server = serve(shards.parent)
    with pytest.raises(UsageError, match="only --format records is read from a server, got 300w"):
        load_dataset(f"{server.url}/shards", "300w")
    with pytest.raises(ServerError, match=r"nothing/dataset\.json: not found on the server"):
        load_dataset(f"{server.url}/nothing", "records")
    found = load_dataset(f"{server.url}/shards", "records")
    server.knows_ranges = False
    with pytest.raises(ServerError, match="sends whole files where a part is asked for"):
        found.faces[0].read()
    server.shutdown()
    server.server_close()
    with pytest.raises(
        Outage, match=r"cannot be fetched, tried 4 times: \[Errno 111\] Connect call"
    ):
        found.faces[1].read()
    with pytest.raises(UsageError, match="expected an address that fsspec knows"):
        load_dataset("nowhere://bucket/faces", "records")
    with pytest.raises(KitError, match=r"pip install .*\[gs\]"):
        load_dataset("gs://bucket/faces", "records")


def test_an_earlier_versions_shards_on_a_server_are_refused(
    shards: Path, tmp_path: Path, serve: Callable[[Path], Server]
) -> None:
    index = json.loads((shards / INDEX).read_text())
    del index["table"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / INDEX).write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="describes no table of labels: run data prepare again"):
        load_dataset(f"{serve(tmp_path).url}/old", "records")


@pytest.mark.slow
def test_training_from_a_server_is_training_from_the_folder(
    drawn_faces: Callable[..., Path], tmp_path: Path, serve: Callable[[Path], Server]
) -> None:
    data = drawn_faces(train=8, val=2)
    prepared = kit("data", "prepare", "--data", data, "--format", "300w", "--out", tmp_path / "s")
    assert prepared.exit_code == 0, prepared.output
    url = f"{serve(tmp_path).url}/s"
    curves = []
    for run, place in (("folder", tmp_path / "s"), ("server", url)):
        result = kit(
            *("train", "--data", place, "--format", "records", "--arch", "asmnet_nano"),
            *("--input-size", 64, "--batch-size", 4, "--epochs", 1, "--out", tmp_path / run),
        )
        assert result.exit_code == 0, result.output
        assert VALIDATION_NME in result.output
        told = "--data FOLDER" if place == url else f"--data {place}"
        assert f"{told} --format records --recipe" in result.stderr  # quantize reads no server
        curve = (tmp_path / run / "history.csv").read_text().splitlines()[1]
        curves.append(curve.split(",")[:-2])  # without the speed
        manifest = json.loads((tmp_path / run / "manifest.json").read_text())
        curves.append(manifest["dataset"] | {"name": ""})
    assert curves[:2] == curves[2:]
    resumed = kit("train", "--resume", "--data", tmp_path / "s", "--out", tmp_path / "server")
    assert resumed.exit_code == 0, resumed.output


@pytest.mark.parametrize("fault", ["503", "403", "damaged"])
def test_what_a_server_does_not_give_ends_the_validation_and_a_bad_picture_is_left_out(
    drawn_faces: Callable[..., Path],
    tmp_path: Path,
    serve: Callable[[Path], Server],
    fault: str,
) -> None:
    """One of 24, which is less than the share of unusable pictures that is let pass."""
    shards = tmp_path / "val"
    prepare(load_dataset(drawn_faces(24), "300w"), shards)
    picture = load_dataset(shards, "records").faces[1].picture
    place = f"bytes={picture.offset}-{picture.offset + picture.length - 1}"
    server = serve(tmp_path)
    if fault == "damaged":
        server.damaged.add(place)
    else:
        server.refused[place] = int(fault)
    url = f"{server.url}/val"
    result = kit(
        *("train", "--data", drawn_faces(8), "--format", "300w", "--val-data", url),
        *("--val-format", "records", "--arch", "asmnet_nano", "--input-size", 64),
        *("--batch-size", 4, "--epochs", 1, "--out", tmp_path / "run"),
    )
    tries = len([part for _, part in server.asked if part == place])
    if fault == "damaged":
        assert result.exit_code == 0 and "left out: " in result.output, result.output
    else:
        assert result.exit_code == 1 and "left out: " not in result.output, result.output
        assert f"Error: {url}: pictures: " in result.output
        assert tries == (4 if fault == "503" else 1)


@pytest.mark.long
def test_a_training_whose_server_was_away_starts_again(
    drawn_faces: Callable[..., Path],
    tmp_path: Path,
    serve: Callable[[Path], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "OUTAGE_PAUSE_S", (0.1, 1.0))
    prepare(load_dataset(drawn_faces(train=8, val=2), "300w"), tmp_path / "s")
    server = serve(tmp_path)
    call = (
        *("train", "--data", f"{server.url}/s", "--format", "records", "--arch", "asmnet_nano"),
        *("--input-size", 64, "--batch-size", 4, "--epochs", 1, "--max-restarts", 1, "--out"),
    )
    server.fails["/s/dataset.json"] = 4
    went_on = kit(*call, tmp_path / "run")
    assert went_on.exit_code == 0, went_on.output
    assert "cannot reach the server of its data; all start again" in went_on.output
    assert (tmp_path / "run" / "model.keras").exists()
    server.fails["/s/dataset.json"] = 8
    gave_up = kit(*call, tmp_path / "other")
    assert gave_up.exit_code == 1, gave_up.output
    assert not (tmp_path / "other").exists()


def kit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])
