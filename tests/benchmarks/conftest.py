"""Data sets for measuring accuracy, a model as the Edge TPU compiler could have made it, phones."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.benchmarks import batch
from asmnet_kit.benchmarks.runner import model_facts
from asmnet_kit.face.shape_model.align import generic_reference
from made_models import EXECUTABLES, edgetpu_package


@pytest.fixture
def make_pts_faces(tmp_path: Path) -> Callable[[], Path]:
    """Writes three grey pictures with 68 points in .pts files (1-based) and returns the folder."""

    def make() -> Path:
        folder = tmp_path / "faces" / "helen" / "testset"
        folder.mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(folder / f"{index}.png"), np.full((100, 120, 3), 128, np.uint8))
            points = generic_reference(68) * (40 + 5 * index) + (60, 50) + 1
            lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
            text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
            (folder / f"{index}.pts").write_text(text)
        return tmp_path / "faces"

    return make


@pytest.fixture
def edgetpu_pair(make_op_model: Callable[..., Path]) -> tuple[Path, Path]:
    """A model of one operator, and what the Edge TPU compiler could have made of it."""
    shape = (1, 8, 8, 4)
    relu = {"op": "RELU", "into": shape, "shape": shape}
    custom = {"custom": "edgetpu-custom-op", "into": shape, "shape": shape}
    payload = edgetpu_package(EXECUTABLES)
    return (
        make_op_model(relu, name="pair.tflite"),
        make_op_model({**custom, "payload": payload}, name="pair_edgetpu.tflite"),
    )


STARTED = "am-start"

# Phones that keep their state in folders. phone.json of each says how it behaves; the files that it
# writes beside it tell what it was asked. Two phones of the same hardware find each other busy.
ADB = """#!{python} -SE
import glob, json, os, shlex, sys
root = {root!r}
words = sys.argv[1:]
phones = sorted(os.path.dirname(path) for path in glob.glob(root + "/*/phone.json"))
there = [phone for phone in phones if not os.path.exists(phone + "/gone")]
if words == ["devices"]:
    print("List of devices attached")
    for phone in there:
        print(os.path.basename(phone) + "\\tdevice")
    sys.exit(0)
serial, verb, rest = words[1], words[2], words[3:]
phone = root + "/" + serial
if phone not in there:
    sys.stderr.write("adb: device '" + serial + "' not found\\n"); sys.exit(1)
about = json.load(open(phone + "/phone.json"))
hardware = root + "/busy-" + about["hardware"]
def note(name):
    with open(phone + "/" + name, "a") as file:
        file.write("x")
    return os.path.getsize(phone + "/" + name)
if verb == "push":
    note("push")
elif verb == "exec-out":
    ready = len(glob.glob(root + "/*/{started}")) >= about["with"] and not about["slow"]
    path = rest[1]
    if ready and path.endswith(".json") and ".error." not in path:
        run = os.path.basename(path)[:-5]
        if os.path.exists(hardware): os.remove(hardware)
        result = open(root + "/result.json").read().replace("RUN_ID", run)
        print(result.replace("ACTUAL", about["actual"]))
    else:
        sys.exit(1)
elif rest[:2] == ["pm", "path"]:
    print("package:/data/app/base.apk")
else:
    command = shlex.split(rest[0])
    if command[:2] == ["am", "start"]:
        times = note("{started}")
        if os.path.exists(hardware): note("found-busy")
        open(hardware, "w").close()
        if times <= about["vanishes"]:
            if about["stays_away"]: open(phone + "/gone", "w").close()
            sys.stderr.write("error: device offline\\n"); sys.exit(1)
        print("Status: ok")
    elif command[:2] == ["am", "force-stop"]:
        note("force-stop")
    elif command[0] == "rm":
        note("rm")
    elif command[0] == "sleep":
        import time
        time.sleep(0.3)
    elif command[0] == "getprop":
        print(about["hardware"])
    elif command[0] == "dumpsys" and about["celsius"]:
        times = note("thermal")
        celsius = about["celsius"][min(times, len(about["celsius"])) - 1]
        print("Cached temperatures:\\n Temperature{{mValue=99.0, mType=3, mName=skin, mStatus=0}}")
        print("Current temperatures from HAL:")
        print(" Temperature{{mValue=%.1f, mType=3, mName=skin, mStatus=0}}" % celsius)
        print("  temperature: 990")
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch, make_result, make_tflite):
    """Returns a function that puts a phone on the shelf; its ``model`` is what the app measures."""
    root = tmp_path / "adb"
    root.mkdir()
    program = tmp_path / "adb-program"
    program.write_text(ADB.format(python=sys.executable, root=str(root), started=STARTED))
    program.chmod(0o755)
    monkeypatch.setenv("ADB", str(program))
    monkeypatch.setattr(batch, "RETRY_AFTER_S", 0.0)
    monkeypatch.setattr(batch, "LOOK_EVERY_S", 0.0)
    model = make_tflite(int8=True)
    result = make_result() | {"run_id": "RUN_ID", "model": model_facts(model)}
    result["target"] |= {"requested": "android:cpu", "actual": "ACTUAL", "delegate": "cpu"}
    (root / "result.json").write_text(json.dumps(result))

    def put(serial, **changes):
        about = {
            "hardware": serial, "with": 0, "slow": False, "vanishes": 0, "stays_away": False,
            "celsius": [], "actual": "android:cpu",
        } | changes  # fmt: skip
        (root / serial).mkdir()
        (root / serial / "phone.json").write_text(json.dumps(about))

    put.model, put.root = model, root
    return put
