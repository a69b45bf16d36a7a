"""The doors of the kit: what comes in from outside, what is promised of it, and how it is tried.

One table. ``make docs`` writes docs/robustness.md from it, ``make fuzz`` damages what it names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.adapters import linear_map
from asmnet_kit.base import keras_config, npz, reading
from asmnet_kit.datasets import cofw, labels, mat_file
from asmnet_kit.datasets.registry import MAX_BAD_SHARE
from asmnet_kit.face.pictures import (
    CUTOUT_BYTES,
    MAX_DECODING_BYTES,
    MAX_SIDE,
    ORDINARY_DECODING_BYTES,
)
from asmnet_kit.tflite.metadata import MAX_CROP_SCALE
from asmnet_kit.tflite.structure import MAX_RANK, MAX_TENSORS_BYTES
from asmnet_kit.training.foreign import h5_child, saved_model_child
from fuzz import damage
from fuzz.damage import Damage

Call = tuple[str, ...]


def size(count: int) -> str:
    """Bytes in words: 1 GiB, 16 MiB."""
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


PIXELS = (
    f"{MAX_SIDE} pixels on a side, {MAX_DECODING_BYTES / 1e9:g} GB of memory to decode it (if it "
    f"takes more than {ORDINARY_DECODING_BYTES / 1e6:g} MB, only one process at a time decodes); "
    f"file size {size(reading.MAX_BYTES)}"
)
ARRAYS = f"file size {size(reading.MAX_BYTES)}, {size(npz.MAX_UNPACKED_BYTES)} unpacked"
TOML_SIZE = (
    f"file size {size(reading.MAX_TOML_BYTES)}; {reading.MAX_KEY_DOTS} dots in a line, not "
    "counting "
    "decimal points"
)
JSON_SIZE = f"file size {size(reading.MAX_JSON_BYTES)}"
LABELS = (
    f"file size {size(reading.MAX_LABELS_BYTES)}, "
    f"{reading.MAX_PARSED_BYTES / 1e9:g} GB of memory as JSON; {MAX_BAD_SHARE:.0%} unusable faces, "
    "or as `--max-bad-share` says"
)
XML = (
    f"no document type, so no entities; at most {reading.MAX_XML_DEPTH} levels, and "
    f"{reading.MAX_XML_ELEMENTS} elements in an image"
)
BAD_SHARE = f"{MAX_BAD_SHARE:.0%} unusable faces"
TEXT = "UTF-8, UTF-16, UTF-32 or Latin-1, with any line ends"
DATA = ("--data", "{work}", "--format")
MODEL = ("--model", "{seeds}/models/int8.tflite")
BOX = ("--box", "0,0,60,60")
PICTURE = "{seeds}/pictures/a.png"
QUICK = ("--runs", "1", "--warmup", "0", "--seconds", "0", "--max-seconds", "5")
TRAIN = ("train", "--data", "{seeds}/synthetic", "--format", "synthetic", "--out", "{out}")
PEOPLE = ("data", "synthesize", "--kind", "people", "--count", "1", "--size", "32", "--workers",
          "1", "--out", "{out}")  # fmt: skip
LABEL = ("data", "label", "--photos", "{work}", *MODEL, "--min-face", "1", "--out", "{out}",
         "--max-disagreement", "999")  # fmt: skip


@dataclass(frozen=True)
class Door:
    """A door.

    Attributes:
        name: for ``--door``.
        what: comes in.
        commands: that open it.
        formats: that are accepted.
        limits: at most this, besides the 2 GB of memory that hold everywhere.
        left_out: what is skipped and reported, while the command goes on; "-" for nothing.
        ends: what stops the command.
        seeds: whole inputs below the folder of seeds, as patterns.
        place: where the damaged input is put, below the folder of work; {suffix} is the seed's.
        beside: a folder of seeds that is copied there first.
        calls: of ``asmnet-kit``, one of which is drawn for each input. {file} is the input, {text}
            its text, split at blanks, {work} its folder, {seeds} the seeds, {out} a new path.
        ways: to damage it.
        share: how many of 1,000 inputs of all doors are tried here.
        tensorflow: whether the calls need it.
        table: the module in whose ``BY_NAME`` a child finds the door.
    """

    name: str
    what: str
    commands: str
    formats: str
    limits: str
    left_out: str
    ends: str
    seeds: Sequence[str]
    place: str
    calls: Sequence[Call]
    ways: tuple[Damage, ...]
    share: int
    beside: str = ""
    tensorflow: bool = False
    table: str = __name__


def _data_set(data_format: str, **values: object) -> dict[str, object]:
    """What the doors of labels have in common."""
    return {
        "commands": f"every `--data` with `--format {data_format}`",
        "limits": f"{BAD_SHARE}, or as `--max-bad-share` says",
        "left_out": "an unusable face, listed with its file and the reason: a damaged file, "
        f"points beyond {labels.FARTHEST:.0f} pixels or far from the others, a face smaller than "
        f"{labels.SMALLEST_FACE:g} pixels, labels that do not fit the picture",
        "ends": "too many unusable faces; no face at all",
        "calls": (("data", "inspect", *DATA, data_format),),
        **values,
    }


DOORS: tuple[Door, ...] = (
    Door(
        name="picture",
        what="A photograph",
        commands="`predict`",
        formats="JPEG, PNG, BMP, WebP, TIFF and whatever else OpenCV reads; EXIF rotation is "
        "applied",
        limits=PIXELS,
        left_out="unreadable pictures, any number of them, if a folder, a list or several pictures "
        "were given; in JSON lines their line has an `error`",
        ends="a single picture that is damaged or no picture; several, if none can be read",
        seeds=("pictures/*",),
        place="input{suffix}",
        calls=(
            *(("predict", "{file}", *MODEL, *BOX),) * 8,
            ("predict", "{file}", *MODEL, *BOX, "--out", "{out}.png"),
            ("predict", "{file}", PICTURE, *MODEL, "--out", "{out}.jsonl"),
            ("predict", "{file}", *MODEL),
        ),
        ways=damage.PICTURE,
        share=110,
    ),
    Door(
        name="data-picture",
        what="A picture of a data set",
        commands="every `--data`: `train`, `quantize`, `sensitivity`, `evaluate`, `audit`, "
        "`parity`, `benchmark`, `data inspect`, `prepare`, `teacher`, `offsets`; `data label`",
        formats="as above; labels refer to the stored pixels, so EXIF rotation is not applied",
        limits=f"{PIXELS}; {BAD_SHARE}, or as `data inspect --max-bad-share` says; `data label` "
        "accepts any number of unreadable photographs",
        left_out="unreadable pictures, listed with file and reason",
        ends="too many unreadable pictures among those that the command needs",
        seeds=("300w/face_000000.jpg",),
        beside="300w",
        place="face_000000.jpg",
        calls=(
            *(("data", "inspect", *DATA, "300w"),) * 6,
            ("evaluate", "{seeds}/models/int8.tflite", *DATA, "300w"),
            ("data", "offsets", *DATA, "300w", *MODEL),
            LABEL,
            ("audit", "{seeds}/models/int8.tflite", *DATA, "300w"),
        ),
        ways=damage.PICTURE,
        share=50,
    ),
    Door(
        name="film",
        what="A film",
        commands="`predict`",
        formats="MP4, AVI, MOV, MKV, WebM and whatever else OpenCV's FFmpeg reads",
        limits="all frames of one size",
        left_out="everything after the first frame that cannot be decoded; the message says how "
        "many "
        "frames were read",
        ends="no frame, or frames of several sizes; text or a playlist, whatever its name",
        seeds=("films/*",),
        place="input{suffix}",
        calls=(
            ("predict", "{file}", *MODEL, "--frames", "3", "--out", "{out}.jsonl"),
            ("predict", "{file}", *MODEL, "--frames", "2", "--out", "{out}.avi"),
        ),
        ways=damage.BYTES,
        share=20,
    ),
    Door(
        name="tflite",
        what="A .tflite model of the kit",
        commands="`predict`, `evaluate`, `audit`, `check`, `benchmark`, `parity`",
        formats="TFLite schema version 3, with weights inside or after the FlatBuffer tables",
        limits=f"file size {size(reading.MAX_MODEL_BYTES)}, tensors of {MAX_RANK} dimensions and "
        f"{size(MAX_TENSORS_BYTES)} in total; every table is checked before a runtime opens the "
        "file",
        left_out="-",
        ends="a truncated, damaged or inconsistent file; operators without a kernel",
        seeds=("models/*.tflite",),
        place="input.tflite",
        calls=(
            *(("audit", "{file}"),) * 4,
            *(("check", "{file}", "--target", "edgetpu"),) * 2,
            *(("check", "{file}", "--target", "gpu"),) * 2,
            *(("predict", PICTURE, "--model", "{file}", *BOX),) * 8,
            ("evaluate", "{file}", "--data", "{seeds}/300w", "--format", "300w"),
            ("audit", "{file}", "--data", "{seeds}/300w", "--format", "300w"),
        ),
        ways=damage.MODEL,
        share=160,
    ),
    Door(
        name="foreign-tflite",
        what="A .tflite model from elsewhere",
        commands="`audit`, `check`, `benchmark`",
        formats="as above, without the kit's metadata",
        limits="as above",
        left_out="-",
        ends="as above",
        seeds=("foreign/operators.tflite",),
        place="input.tflite",
        calls=(
            ("audit", "{file}"),
            ("check", "{file}", "--target", "edgetpu"),
            ("check", "{file}", "--target", "gpu"),
            *(("audit", "{file}", "--data", "{seeds}/300w", "--format", "300w"),) * 4,
        ),
        ways=damage.MODEL,
        share=90,
    ),
    Door(
        name="compiled-tflite",
        what="A model compiled for the Edge TPU",
        commands="`audit`, `check`, `benchmark --edgetpu-model`",
        formats="as above, with the operator that edgetpu_compiler writes",
        limits="as above",
        left_out="-",
        ends="an operator whose compiled program is missing or damaged",
        seeds=("foreign/x_edgetpu.tflite",),
        place="input.tflite",
        calls=(("audit", "{file}"), ("check", "{file}", "--target", "edgetpu")),
        ways=damage.MODEL,
        share=20,
    ),
    Door(
        name="metadata",
        what="The kit's metadata in a .tflite",
        commands="`predict`, `evaluate`, `audit`, `benchmark --data`, `parity`",
        formats="JSON in the buffer `ASMNET_KIT`",
        limits=f"a crop scale above 0 and up to {MAX_CROP_SCALE:g}",
        left_out="-",
        ends="missing or contradictory metadata, if the command needs it",
        seeds=("models/float.tflite", "models/int8.tflite"),
        place="input.tflite",
        calls=(
            ("predict", PICTURE, "--model", "{file}", *BOX),
            ("predict", PICTURE, "--model", "{file}", *BOX, "--json"),
            ("audit", "{file}", "--json"),
        ),
        ways=(damage.metadata_changed,),
        share=60,
    ),
    Door(
        name="benchmark",
        what="A .tflite model to measure",
        commands="`benchmark`",
        formats="as above; each model runs in a process of its own",
        limits="as above",
        left_out="a model that fails; the others are measured, and the exit code is 1",
        ends="-",
        seeds=("models/*.tflite", "foreign/operators.tflite"),
        place="input.tflite",
        calls=(("benchmark", "{file}", *QUICK, "--out", "{out}"),),
        ways=damage.MODEL,
        share=4,
    ),
    Door(
        name="inputs",
        what="Raw inputs for a model",
        commands="`benchmark --inputs`",
        formats="the kit's tensor files: a first line of JSON, then the values",
        limits="as many values as the first line says",
        left_out="-",
        ends="a file of another kind or length; tensors that do not fit the model",
        seeds=("inputs.tensors",),
        place="input.tensors",
        calls=(
            (
                "benchmark",
                "{seeds}/models/float.tflite",
                *QUICK,
                "--inputs",
                "{file}",
                "--outputs",
                "{out}.tensors",
                "--out",
                "{out}",
            ),
        ),
        ways=(*damage.BYTES, *damage.TEXT),
        share=4,
    ),
    Door(
        name="compiler-log",
        what="A log of edgetpu_compiler",
        commands="`check --compiler-log`",
        formats=f"text as compiler versions 2 to 16 write it; {TEXT}",
        limits=f"file size {size(reading.MAX_TEXT_BYTES)}",
        left_out="lines that are not about operators",
        ends="no operator in it; several models",
        seeds=("compiler.log",),
        place="input.log",
        calls=(("check", "{seeds}/models/nano.tflite", "--compiler-log", "{file}"),),
        ways=damage.TEXT,
        share=30,
    ),
    Door(
        name="shape-model",
        what="A shape model (.npz)",
        commands="`predict --shape-model`, `evaluate --shape-model`, and any model with one "
        "beside it",
        formats="NumPy's .npz without pickled objects",
        limits=ARRAYS,
        left_out="an unusable one beside a model: a warning, and no plausibility",
        ends="one given as an option that is damaged or has another number of landmarks",
        seeds=("shape_model.npz",),
        place="input.npz",
        calls=(
            ("predict", PICTURE, *MODEL, *BOX, "--shape-model", "{file}"),
            ("predict", PICTURE, *MODEL, *BOX, "--shape-model", "{file}", "--json"),
        ),
        ways=damage.ARCHIVE,
        share=80,
    ),
    Door(
        name="result",
        what="Benchmark results (.json)",
        commands="`report`, `compare`",
        formats="JSON that fits `toolkit/results/results.schema.json`",
        limits=f"{JSON_SIZE}; integers of 64 bits; no NaN",
        left_out="-",
        ends="a file that is no benchmark result; strings are shown as text, never as markup",
        seeds=("results/*.json",),
        place="input.json",
        calls=(
            ("report", "{file}", "--out", "{out}.html"),
            ("compare", "{seeds}/results", "{file}"),
        ),
        ways=damage.JSON,
        share=75,
    ),
    Door(
        name="result-zip",
        what="Benchmark results (.zip), as the phone app shares them",
        commands="`report`, `compare`",
        formats="a .zip of JSON files",
        limits=f"256 MB, 1,000 files; for each file: {JSON_SIZE}",
        left_out="files whose name does not end with .json",
        ends="a damaged archive, one without results, or a .json in it that is no result",
        seeds=("results.zip",),
        place="input.zip",
        calls=(("report", "{file}", "--out", "{out}.html"),),
        ways=(*damage.ARCHIVE, *damage.BYTES),
        share=15,
    ),
    Door(
        name="300w",
        what="Labels: 300-W (.pts)",
        formats=f"68 points between braces, counted from 1; {TEXT}",
        seeds=("300w/face_000000.pts",),
        beside="300w",
        place="face_000000.pts",
        ways=damage.TEXT,
        share=50,
        **_data_set("300w"),
    ),
    Door(
        name="merlrav",
        what="Labels: MERL-RAV (.pts)",
        formats="as 300-W; hidden points are negative",
        seeds=("merlrav/face_000000.pts",),
        beside="merlrav",
        place="face_000000.pts",
        ways=damage.TEXT,
        share=20,
        **_data_set("merlrav"),
    ),
    Door(
        name="csv",
        what="Labels: a table (.csv)",
        formats=f"a column of file names and x0, y0, x1 ... counted from 0; {TEXT}",
        seeds=("csv/labels.csv",),
        beside="csv",
        place="labels.csv",
        ways=damage.TEXT,
        share=60,
        **_data_set("csv"),
    ),
    Door(
        name="wflw",
        what="Labels: WFLW's lists (.txt)",
        formats=f"98 points, a box, six attributes and a path in each line; {TEXT}",
        seeds=("wflw/WFLW_annotations/*/*.txt",),
        beside="wflw",
        place="WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt",
        ways=damage.TEXT,
        share=50,
        **_data_set("wflw"),
    ),
    Door(
        name="coco",
        what="Labels: COCO keypoints (.json)",
        formats="images, categories and annotations with keypoints",
        seeds=("coco/annotations/face_landmarks_wflw_train.json",),
        beside="coco",
        place="annotations/face_landmarks_wflw_train.json",
        ways=damage.JSON,
        share=30,
        **_data_set("coco", limits=LABELS),
    ),
    Door(
        name="imglab",
        what="Labels: dlib's imglab (.xml)",
        formats=f"images, boxes and parts; {XML}",
        seeds=("imglab/labels_ibug_300W_train.xml",),
        beside="imglab",
        place="labels_ibug_300W_train.xml",
        ways=damage.TEXT,
        share=30,
        **_data_set("imglab", limits=LABELS),
    ),
    Door(
        name="cvat",
        what="Labels: CVAT for images 1.1 (.xml)",
        formats=f"images with skeletons, points and boxes; {XML}",
        seeds=("cvat/annotations.xml",),
        beside="cvat",
        place="annotations.xml",
        ways=damage.TEXT,
        share=30,
        **_data_set("cvat", limits=LABELS),
    ),
    Door(
        name="label-studio",
        what="Labels: Label Studio (.json)",
        formats="JSON and JSON-MIN exports with keypointlabels",
        seeds=("label_studio/project-1.json",),
        beside="label_studio",
        place="project-1.json",
        ways=damage.JSON,
        share=30,
        **_data_set("label_studio", limits=LABELS),
    ),
    Door(
        name="labelme",
        what="Labels: labelme (.json)",
        formats="a JSON for each picture",
        seeds=("labelme/train/1.json",),
        beside="labelme",
        place="train/1.json",
        ways=damage.JSON,
        share=20,
        **_data_set("labelme", limits=LABELS),
    ),
    Door(
        name="predictions",
        what="Labels: output of predict (.json, .jsonl)",
        formats="one JSON object, or one in each line",
        seeds=("predictions/one.json", "predictions/faces.jsonl"),
        beside="predictions",
        place="{name}",
        ways=(*damage.JSON, *damage.TEXT),
        share=20,
        **_data_set("predictions", limits=LABELS),
    ),
    Door(
        name="lapa",
        what="Labels: LaPa and JD-landmark (.txt)",
        formats=f"a count and a point in each line; {TEXT}",
        seeds=("lapa/train/landmarks/0_0.txt",),
        beside="lapa",
        place="train/landmarks/0_0.txt",
        ways=damage.TEXT,
        share=20,
        **_data_set("lapa"),
    ),
    Door(
        name="jd106",
        what="Labels: JD-landmark's boxes (.rect)",
        formats="x0 y0 x1 y1; without a usable box the face is read anyway",
        seeds=("jd106/Test_data1/rect/3.jpg.rect",),
        beside="jd106",
        place="Test_data1/rect/3.jpg.rect",
        ways=damage.TEXT,
        share=10,
        **_data_set("jd106"),
    ),
    Door(
        name="pfld",
        what="Labels: PFLD's list.txt",
        formats=f"a path, fractions, attributes and angles in each line; {TEXT}",
        seeds=("pfld/train_data/list.txt",),
        beside="pfld",
        place="train_data/list.txt",
        ways=damage.TEXT,
        share=30,
        **_data_set("pfld"),
    ),
    Door(
        name="cofw",
        what="Labels and pictures: COFW (.mat of MATLAB 7.3)",
        formats="HDF5, read with h5py; links, external storage and virtual data are refused",
        seeds=("cofw/COFW_train_color.mat",),
        beside="cofw",
        place="COFW_train_color.mat",
        ways=damage.BYTES,
        share=30,
        **_data_set("cofw", limits=f"file size {size(cofw.MAX_BYTES)}; {BAD_SHARE}"),
    ),
    Door(
        name="aflw2000",
        what="Labels: AFLW2000-3D and 300W-LP (.mat)",
        formats="MATLAB files of versions 4 and 5, read by the kit itself",
        seeds=("aflw2000/face_000000.mat",),
        beside="aflw2000",
        place="face_000000.mat",
        ways=damage.BYTES,
        share=50,
        **_data_set(
            "aflw2000",
            limits=f"{size(mat_file.MAX_UNPACKED_BYTES)} per variable; {BAD_SHARE}",
        ),
    ),
    Door(
        name="synthetic-index",
        what="Drawn faces: dataset.json",
        formats="JSON as `data synthesize` writes it",
        seeds=("synthetic/dataset.json",),
        beside="synthetic",
        place="dataset.json",
        ways=damage.JSON,
        share=15,
        **_data_set("synthetic", ends="an unfinished data set; invalid JSON"),
    ),
    Door(
        name="synthetic-pose",
        what="Drawn faces: pose.csv",
        formats="name, yaw, pitch, roll",
        seeds=("synthetic/train/pose.csv",),
        beside="synthetic",
        place="train/pose.csv",
        ways=damage.TEXT,
        share=15,
        **_data_set("synthetic"),
    ),
    Door(
        name="shard",
        what="Prepared faces: TFRecord shards",
        seeds=("records/*.tfrecord",),
        beside="records",
        place="{name}",
        ways=damage.BYTES,
        share=30,
        **_data_set(
            "records",
            formats="as `data prepare` writes them; both checksums of each record are verified",
            left_out="records with a wrong checksum, named with shard and number",
            ends="a shard that is missing, truncated or of another length; too many damaged "
            "records",
        ),
    ),
    Door(
        name="shard-index",
        what="Prepared faces: dataset.json",
        formats="JSON as `data prepare` writes it",
        seeds=("records/dataset.json",),
        beside="records",
        place="dataset.json",
        ways=damage.JSON,
        share=15,
        **_data_set("records", ends="invalid JSON, another version, shards that are not listed"),
    ),
    Door(
        name="folder",
        what="Other files in a data folder",
        commands="every `--data`, `--photos` and results folder",
        formats="files and folders at any depth; names in any writing system",
        limits="links that form a loop are not followed",
        left_out="files that are no picture, label or result",
        ends="as for the format",
        seeds=("folder.json",),
        place="",
        beside="mixed",
        calls=(
            ("data", "inspect", *DATA, "300w"),
            ("data", "inspect", *DATA, "csv"),
            ("evaluate", "{seeds}/models/int8.tflite", *DATA, "300w"),
            LABEL,
            ("report", "{work}", "--out", "{out}.html"),
        ),
        ways=(damage.trick_added,),
        share=10,
    ),
    Door(
        name="own-pictures",
        what="Your own skins, objects and backgrounds for rendered people",
        commands="`data synthesize --skins`, `--occluders`, `--backgrounds`",
        formats="as a photograph; a skin is square, an object has an alpha channel",
        limits=f"{PIXELS}; an object: {MAX_DECODING_BYTES // CUTOUT_BYTES / 1e6:.0f} million "
        "pixels",
        left_out="-",
        ends="any unusable picture, since the same options must give the same people",
        seeds=("own/*.png",),
        place="input{suffix}",
        calls=tuple(
            (*PEOPLE, f"--{kind}", "{work}", f"--{kind}-share", "1")
            for kind in ("skins", "occluders", "backgrounds")
        ),
        ways=damage.PICTURE,
        share=5,
    ),
    Door(
        name="camera",
        what="The camera for rendered people (.toml)",
        commands="`data synthesize --camera`",
        formats="TOML; the settings are in docs/people.md",
        limits=f"file size {size(reading.MAX_TOML_BYTES)}",
        left_out="-",
        ends="anything that is no setting, of another type, or out of range",
        seeds=("camera.toml",),
        place="input.toml",
        calls=((*PEOPLE, "--camera", "{file}"),),
        ways=damage.TEXT,
        share=5,
    ),
    Door(
        name="options",
        what="Values of options",
        commands="`predict`",
        formats="as `--help` says",
        limits="finite numbers",
        left_out="-",
        ends="any other value, with exit code 2",
        seeds=("box.txt",),
        place="input.txt",
        calls=(
            ("predict", PICTURE, *MODEL, "--box={text}"),
            ("predict", PICTURE, *MODEL, "--box={text}", "--out", "{out}.png"),
        ),
        ways=(damage.another_number, damage.another_number, damage.disturbed, damage.cut_off),
        share=20,
    ),
    Door(
        name="scheme",
        what="A landmark scheme (.toml)",
        commands="`--scheme FILE`: `data inspect`, `data prepare`, `train`, `evaluate`, `predict`",
        formats="TOML; the keys are in docs/schemes.md",
        limits=TOML_SIZE,
        left_out="-",
        ends="a key that is unknown, missing or has a wrong value",
        seeds=("scheme.toml",),
        place="input.toml",
        calls=(
            ("data", "inspect", "--data", "{seeds}/csv", "--format", "csv", "--scheme", "{file}"),
        ),
        ways=damage.TEXT,
        share=20,
    ),
    Door(
        name="adapter",
        what="An adapter (.toml)",
        commands="`--adapter FILE`: `predict`, `evaluate`, `benchmark`, `parity`, `quantize`",
        formats="TOML; the keys are in docs/adapters.md",
        limits=TOML_SIZE,
        left_out="-",
        ends="a key that is unknown, missing or has a wrong value; a model that the adapter does "
        "not fit",
        seeds=("adapter/adapter.toml",),
        beside="adapter",
        place="adapter.toml",
        calls=(("predict", PICTURE, *MODEL, *BOX, "--adapter", "{file}"),),
        ways=damage.TEXT,
        share=20,
    ),
    Door(
        name="adapter-map",
        what="An adapter's linear map (.npz)",
        commands="as for an adapter",
        formats="anchors [2], mean_points [2M], mean_landmarks [2N] and weights [2M, 2N]",
        limits=f"{ARRAYS}; {linear_map.MAX_WEIGHTS} weights",
        left_out="-",
        ends="other arrays, shapes or types; NaN or infinite values",
        seeds=("adapter/map.npz",),
        beside="adapter",
        place="map.npz",
        calls=(("predict", PICTURE, *MODEL, *BOX, "--adapter", "{work}/adapter.toml"),),
        ways=damage.ARCHIVE,
        share=20,
    ),
    Door(
        name="unfinished",
        what="Output of an interrupted predict (.jsonl.unfinished)",
        commands="`predict --out OUT.jsonl --resume`",
        formats="as `predict` writes them",
        limits=f"lines of {size(reading.MAX_LINE_BYTES)}",
        left_out="an incomplete last line; its picture is predicted again",
        ends="a line of another picture or model",
        seeds=("lines.jsonl.unfinished",),
        place="lines.jsonl.unfinished",
        calls=(
            (
                "predict",
                PICTURE,
                "{seeds}/pictures/a.jpg",
                *MODEL,
                "--out",
                "{work}/lines.jsonl",
                "--resume",
            ),
        ),
        ways=(*damage.JSON, *damage.TEXT),
        share=10,
    ),
    Door(
        name="recipe",
        what="A training recipe (.toml)",
        commands="`train --recipe`",
        formats="TOML with the tables [about] and [train]",
        limits=f"file size {size(reading.MAX_TOML_BYTES)}",
        left_out="-",
        ends="anything that is no setting, of another type, or out of range",
        seeds=("recipe.toml",),
        place="input.toml",
        calls=((*TRAIN, "--recipe", "{file}"),),
        ways=damage.TEXT,
        share=20,
        tensorflow=True,
    ),
    Door(
        name="teacher",
        what="A teacher's predictions (.npz)",
        commands="`train --teacher`",
        formats="names [F] and points [F, N, 2]",
        limits=ARRAYS,
        left_out="-",
        ends="other arrays, shapes or types; NaN or infinite values",
        seeds=("teacher.npz",),
        place="input.npz",
        calls=((*TRAIN, "--teacher", "{file}", "--teacher-share", "0.5", "--batch-size", "4"),),
        ways=damage.ARCHIVE,
        share=15,
        tensorflow=True,
    ),
    Door(
        name="keras",
        what="A .keras model",
        commands="`predict`, `evaluate`, `quantize`, `train --init-from`",
        formats="archives of tf_keras and Keras 3; code in them is never run",
        limits=f"file size {size(reading.MAX_MODEL_BYTES)}, "
        f"{size(keras_config.MAX_UNPACKED_BYTES)} unpacked",
        left_out="-",
        ends="a damaged archive, or custom layers",
        seeds=("run/model.keras",),
        place="input.keras",
        calls=(("predict", PICTURE, "--model", "{file}", *BOX),),
        ways=damage.ARCHIVE,
        share=8,
        tensorflow=True,
    ),
    Door(
        name="h5",
        what="A Keras .h5 model",
        commands="`predict`, `evaluate`, `quantize`, `train --init-from`",
        formats="HDF5 as Keras saves a whole model; read in a process of its own, code in it is "
        "never run",
        limits=f"file size {size(reading.MAX_MODEL_BYTES)}, weights "
        f"{size(h5_child.MAX_ARRAYS_BYTES)}",
        left_out="everything but the configuration and the weights",
        ends="a damaged file, weights without a configuration, links to other files, custom layers",
        seeds=("elsewhere/net.h5",),
        place="input.h5",
        calls=(("predict", PICTURE, "--model", "{file}", *BOX),),
        ways=damage.BYTES,
        share=4,
        tensorflow=True,
    ),
    Door(
        name="saved-model",
        what="A SavedModel's graph (saved_model.pb)",
        commands="`predict`, `evaluate`, `quantize`",
        formats="as TensorFlow 2 saves it; read in a process of its own",
        limits=f"{size(saved_model_child.MAX_FOLDER_BYTES)} for all files together",
        left_out="-",
        ends="a damaged file; operations that do more than compute, such as file access; "
        "TensorFlow 1",
        seeds=("elsewhere/saved/saved_model.pb",),
        beside="elsewhere/saved",
        place="{name}",
        calls=(("predict", PICTURE, "--model", "{work}", *BOX),),
        ways=damage.BYTES,
        share=2,
        tensorflow=True,
    ),
    Door(
        name="saved-model-variables",
        what="A SavedModel's weights (variables)",
        commands="`predict`, `evaluate`, `quantize`",
        formats="as above",
        limits="as above",
        left_out="-",
        ends="as above",
        seeds=("elsewhere/saved/variables/variables.*",),
        beside="elsewhere/saved",
        place="variables/{name}",
        calls=(("predict", PICTURE, "--model", "{work}", *BOX),),
        ways=damage.BYTES,
        share=2,
        tensorflow=True,
    ),
    Door(
        name="run",
        what="A run folder: manifest.json, config.toml, history.csv",
        commands="`train --resume`, `quantize`, `predict`, `evaluate`",
        formats="as `train` writes them",
        limits=JSON_SIZE,
        left_out="-",
        ends="a manifest or settings that are unreadable or belong to another run",
        seeds=("run/manifest.json", "run/config.toml", "run/history.csv"),
        beside="run",
        place="{name}",
        calls=(("train", "--resume", "--out", "{work}"),),
        ways=(*damage.JSON, *damage.TEXT),
        share=6,
        tensorflow=True,
    ),
    Door(
        name="checkpoint",
        what="A run's checkpoint (last.npz)",
        commands="`train --resume`",
        formats="as `train` writes it",
        limits=f"{ARRAYS}; exactly the arrays of the run's network",
        left_out="-",
        ends="a checkpoint that is damaged or belongs to another network",
        seeds=("unfinished/checkpoints/last.npz",),
        beside="unfinished",
        place="checkpoints/last.npz",
        calls=(("train", "--resume", "--out", "{work}"),),
        ways=damage.ARCHIVE,
        share=3,
        tensorflow=True,
    ),
)
BY_NAME = {door.name: door for door in DOORS}
# Doors that ``make fuzz`` does not go through: what comes in -> why not, and what tests it instead.
NOT_TRIED = {
    "Cameras": "the test machines have none; their frames go through the same code as a film's",
    "Answers of phones and boards (adb, ssh)": "they need a device; `tests/benchmarks/targets` has "
    "scripted answers, also damaged ones",
    "Output of edgetpu_compiler and of a GPU": "as above",
    "Texts and measurements on the card of a shipped model": "only `make ship-model` reads them; "
    "tests: `tests/toolkit/shipping`",
    "Lists of pictures on stdin (`predict -`)": "each line is a path, taken literally, of at most "
    f"{size(reading.MAX_LINE_BYTES)}; tests: `tests/toolkit/commands/test_predict_pictures.py`",
    "Packages that add formats, networks or targets": "they are code that you installed, and it "
    "may "
    "do whatever you may",
}
