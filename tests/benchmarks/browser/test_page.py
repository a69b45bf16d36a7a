"""The page in a real browser: it measures, and its figures are judged here."""

import gzip
import hashlib
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import devtools
from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.browser import chromium, litert_js
from asmnet_kit.benchmarks.browser.job import SharedModel
from asmnet_kit.benchmarks.browser.people import SentPeople
from asmnet_kit.benchmarks.commands import share as share_command
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.studies.bit_equality import drawn_inputs
from asmnet_kit.cli import main
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.machine.vulkan import is_software
from asmnet_kit.predict.detector import detect_faces
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.predict.picture import predict_image
from asmnet_kit.results.results import load_result
from asmnet_kit.tflite.runtime import dequantize, open_runtime
from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors
from devtools import Page
from page_in_chromium import FEW, FLOAT, INT8, STATE, needs_browser, shared_page

FP16 = INT8.parent / "asmnet_plus_68_112_fp16.tflite"
FACES = 1000


def benchmark(model: Path, out: Path, *options: str) -> dict[str, Any]:
    words = ["benchmark", str(model), *FEW, *options, "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    (path,) = out.glob("*.json")
    return load_result(path)


@needs_browser
@pytest.mark.parametrize("count", [24, pytest.param(FACES, marks=pytest.mark.slow)])
def test_int8_in_the_browser_gives_the_native_bits_of_drawn_faces(
    count: int, tmp_path: Path
) -> None:
    runtime = open_runtime(INT8)
    images = drawn_inputs(INT8, count)["image"]
    write_tensors(tmp_path / "in.tensors", {"image": images})
    files = ["--inputs", str(tmp_path / "in.tensors"), "--outputs", str(tmp_path / "out.tensors")]
    result = benchmark(INT8, tmp_path / "results", "--target", "browser", *files)
    assert result["target"]["requested"] == result["target"]["actual"] == "browser:wasm"
    assert result["runtime"]["name"] == "LiteRT.js"
    assert result["parity"]["identical"] and result["output_check"]["passed"]
    assert result["machine"]["browser"]["isolated"]
    outputs = read_tensors(tmp_path / "out.tensors")
    assert len(outputs["landmarks"]) == count
    for number in range(count):
        for name, values in runtime.run({"image": images[number]}).items():
            assert np.array_equal(outputs[name][number], values), (name, number)
    # What other targets' results are good for, this one is.
    results, page = str(tmp_path / "results"), str(tmp_path / "report.html")
    for words in (
        ["report", results, "--out", page],
        ["report", "--history", results, "--out", page],
        ["compare", results, results],
    ):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    text = Path(page).read_text(encoding="utf-8")
    assert "browser:wasm" in text and INT8.stem in text


@needs_browser
@pytest.mark.parametrize("target", ["browser:wasm-threads", "browser:webgpu"])
def test_threads_and_webgpu_give_outputs_within_the_limits(target: str, tmp_path: Path) -> None:
    result = benchmark(INT8, tmp_path, "--target", target)
    assert result["target"]["actual"] in (target, "browser:software GPU")
    assert result["output_check"]["passed"]
    if target == "browser:webgpu":
        assert any("fully on WebGPU" in proof for proof in result["target"]["proof"])
        software = is_software(result["machine"]["browser"]["gpu"])
        assert result["target"]["software"] == software
        assert any(text.startswith("software: ") for text in result["warnings"]) == software


@needs_browser
def test_a_float_model_is_measured_as_it_is(tmp_path: Path) -> None:
    result = benchmark(FP16, tmp_path, "--target", "browser:wasm")
    assert result["output_check"]["passed"]


def test_without_chromium_the_target_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(chromium.ENVIRONMENT, "no-such-browser")
    done = CliRunner().invoke(
        main, ["benchmark", str(INT8), "--target", "browser", "--out", str(tmp_path)]
    )
    assert done.exit_code == 1 and "apt-get install chromium" in done.output


# ---- asmnet-kit share, in a browser -------------------------------------------------------------

SHOWN = """import("./page.js").then(({ shown }) => ({
  predictions: shown.predictions.map((face) => ({
    box: Array.from(face.box), landmarks: Array.from(face.landmarks), pose: Array.from(face.pose),
    sigma: Array.from(face.sigma), confidence: face.confidence,
  })),
  width: shown.picture.width,
  height: shown.picture.height,
  pixels: Array.from(shown.picture.data),
}))"""

DOTS = np.array([[230, 247, 255], [255, 178, 36]])  # of a sure landmark, of an unsure one
# The colour of the canvas at landmark 30.
NOSE_TIP = """import("./page.js").then(({ shown }) => {
  const [x, y] = shown.faces[0].landmarks.slice(60, 62);
  const context = document.getElementById("view").getContext("2d");
  return Array.from(context.getImageData(Math.round(x), Math.round(y), 1, 1).data.slice(0, 3));
})"""


def near_python(tab: Page, *, detected: bool) -> None:
    """The shown predictions are Python's for the same pixels, within a pixel.

    A float model's: one byte of a crop that differs by a level moves an int8 output by a step or
    two, each of them 0.8 pixels of these faces. That int8 is right, the same bits for the same
    crops show.

    Args:
        detected: the boxes are the detector's, not an earlier frame's landmarks.
    """
    got = tab.value(SHOWN)
    pixels = np.array(got["pixels"], np.uint8).reshape(got["height"], got["width"], 4)
    image = np.ascontiguousarray(pixels[..., :3])
    boxes = [np.array(one["box"], np.float32) for one in got["predictions"]]
    if detected:
        found = [face.box for face in detect_faces(image)]
        assert np.allclose(boxes, found, atol=0.05)
        boxes = found
    expected = predict_image(image, open_tflite(FLOAT), boxes=boxes)
    assert len(got["predictions"]) == len(expected) == 1
    for one, face in zip(got["predictions"], expected, strict=True):
        landmarks = np.array(one["landmarks"]).reshape(-1, 2)
        assert np.abs(landmarks - face.landmarks).max() <= 1.0
        assert face.pose is not None and np.abs(np.array(one["pose"]) - face.pose).max() <= 1.0
        assert one["confidence"] == pytest.approx(face.confidence, abs=0.01)


@needs_browser
def test_the_page_measures_and_shows_a_photo_with_pythons_landmarks(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    (face,) = film(1, seed=3, size=320)
    cv2.imwrite(str(photo), cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
    with shared_page(tmp_path, "--sustained", "0", "--results", "1") as (tab, process):
        tab.choose_file("#photo", photo)
        tab.until(f"{STATE} === 'Landmarks are drawn.'")
        near_python(tab, detected=True)
        photo_is = "getComputedStyle(document.getElementById('view')).transform"
        assert tab.value(photo_is) == "none"  # only the camera's picture is a mirror's
        tab.value("document.getElementById('model').selectedIndex = 1")
        tab.value("document.getElementById('measure').click()")
        assert tab.until("document.querySelector('article')?.innerText").count("same bits") == 1
        assert process.wait(30) == 0  # one result was asked for: the server has ended
        assert [text for text in tab.complaints() if "Content Security Policy" in text] == []
        assert tab.value("document.documentElement.scrollWidth") <= 360
    (path,) = (tmp_path / "results").glob("*.json")
    assert load_result(path)["parity"]["identical"]


@needs_browser
def test_the_camera_shows_pythons_landmarks(tmp_path: Path) -> None:
    frames = [face.image for face in film(30, seed=3, size=320, motion=0.3)]
    devtools.write_y4m(tmp_path / "film.y4m", frames, fps=30)
    arguments = (*devtools.CAMERA, f"{devtools.FILM}={tmp_path / 'film.y4m'}")
    with shared_page(tmp_path, arguments=arguments) as (tab, _):
        tab.value("document.getElementById('camera').click()")
        tab.until("/^1 face .*a frame$/.test(document.getElementById('told').textContent)")
        # No moment without landmarks, as while the next frame's are worked out.
        for _ in range(12):
            apart = np.abs(np.array(tab.value(NOSE_TIP)) - DOTS).max(axis=1)
            assert apart.min() < 40  # the dot's edge is smoothed
        # As in a mirror for the eye; the canvas itself, and what is predicted, are not turned.
        mirrored = "getComputedStyle(document.getElementById('view')).transform"
        assert tab.value(mirrored) == "matrix(-1, 0, 0, 1, 0, 0)"
        tab.value("document.getElementById('camera').click()")  # the last frame stays
        near_python(tab, detected=False)


@needs_browser
def test_an_exported_page_measures_and_its_download_is_read(tmp_path: Path) -> None:
    folder, results = tmp_path / "page", tmp_path / "results"
    share = ["share", str(INT8), *FEW, "--sustained", "0", "--people", "3"]
    done = CliRunner().invoke(main, [*share, "--export", str(folder)])
    assert done.exit_code == 0, done.output
    with static_host(folder) as address, devtools.page(tmp_path / "profile") as tab:
        tab.open(address, width=740, height=360)
        tab.until(f"{STATE} === 'Ready.'")
        assert tab.value("document.querySelector('option[value=wasm-threads]').disabled")
        tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        tab.value("document.getElementById('measure').click()")
        tab.until("!!document.querySelector('a[download]')")
        assert [text for text in tab.complaints() if "Content Security Policy" in text] == []
        tab.value("document.querySelector('a[download]').click()")
        downloaded = tmp_path / f"{INT8.stem}_wasm.json"
        ends = time.monotonic() + 20
        while not downloaded.exists() and time.monotonic() < ends:
            time.sleep(0.1)
    done = CliRunner().invoke(main, [*share, "--read", str(downloaded), "--out", str(results)])
    assert done.exit_code == 0, done.output
    (path,) = results.glob("*.json")
    result = load_result(path)
    assert result["parity"]["identical"] and result["accuracy"]["faces"] == 3
    assert not result["machine"]["browser"]["isolated"]


def test_what_is_no_download_of_a_page_is_refused(tmp_path: Path, fake_litert: Path) -> None:
    file = tmp_path / "x.json"
    read = ["share", str(INT8), "--people", "0", "--read", str(file)]
    for content, reason in (("{", "expected JSON"), ("{}", "required property")):
        file.write_text(content, encoding="utf-8")
        done = CliRunner().invoke(main, [*read, "--out", str(tmp_path / "results")])
        assert done.exit_code == 1 and reason in done.output
    assert not list((tmp_path / "results").glob("*"))
    done = CliRunner().invoke(main, read)
    assert done.exit_code == 2 and "--out" in done.output
    done = CliRunner().invoke(main, [*read[:4], "--export", str(tmp_path)])
    assert done.exit_code == 2 and "empty folder" in done.output


def test_without_litert_js_share_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(litert_js.ENVIRONMENT, str(tmp_path / "nothing"))
    done = CliRunner().invoke(main, ["share", str(INT8), "--out", str(tmp_path / "results")])
    assert done.exit_code == 1 and "python -m asmnet_kit" in done.output


@contextmanager
def static_host(folder: Path) -> Iterator[str]:
    """A plain web server of a folder, as static hosts are."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}/"
    http.shutdown()
    http.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def fake_litert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files that are called as LiteRT.js's."""
    folder = tmp_path / "litert"
    folder.mkdir()
    for name in litert_js.names():
        content = gzip.compress(b"") if name.endswith(".wasm") else b""
        (folder / litert_js.stored(name)).write_bytes(content)
    monkeypatch.setenv(litert_js.ENVIRONMENT, str(folder))
    return folder


# ---- asmnet-kit share, with a page that this test plays -----------------------------------------


BY_HAND = (*FEW, "--sustained", "0")  # the protocol of ``measured_by_hand``


def measured_by_hand() -> dict[str, Any]:
    """What an honest page would post: the model's own outputs, run here."""
    model = SharedModel.of(Request(INT8, "browser:wasm", warmup_runs=2, runs=10, min_seconds=0))
    infos = model.runtime.outputs

    def real(inputs: Any) -> dict[str, list[float]]:
        raw = model.runtime.run(inputs)
        return {name: dequantize(raw[name], infos[name]).ravel().tolist() for name in infos}

    def outputs(number: int | None) -> dict[str, list[float]]:
        return real(model.inputs.fresh[-1] if number is None else model.inputs.of_run(number))

    def runs_of_people() -> list[Any]:
        people = SentPeople.of(INT8, 2)
        assert people is not None
        return [{"image": image} for image in people.inputs["image"]]

    runs = [("first", 0), ("timed", 1), ("timed", 9), ("timed", 19), ("fresh", None)]
    return {
        "nonce": 32 * "a",
        "measured_at": "2026-01-02T03:04:05.678Z",
        "protocol": {
            "threads": 2,
            "warmup_runs": 2,
            "runs": 10,
            "min_seconds": 0,
            "max_seconds": 300,
            "sustained_minutes": 0,
            "clock_steps": 20,
        },
        "model": model.sha256,
        "accelerator": "wasm",
        "actual": "wasm",
        "variant": "litert_wasm_internal",
        "threads": 1,
        "fully_accelerated": True,
        "browser": {
            "name": "Testbrowser 1.2",
            "user_agent": "Testbrowser/1.2",
            "platform": "Android 15",
            "device": "Pixel 8",
            "cores": 8,
            "memory_gb": None,
            "isolated": False,
            "clock_ms": 0.1,
        },
        "fetch_ms": 10.0,
        "load_ms": 100.0,
        "compile_ms": 50.0,
        "first_ms": 20.0,
        "warmup_runs": 2,
        "batch": 2,
        "invoke_ms": [1.0 + 0.01 * i for i in range(10)],
        "sustained": None,
        "kept": [{"run": run, "number": n or 0, "outputs": outputs(n)} for run, n in runs],
        "outputs": [real(one) for one in runs_of_people()],
        "hidden": False,
    }


@pytest.fixture
def sharing(
    tmp_path: Path, fake_litert: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[Any], tuple[int, dict[str, Any]]]]:
    """``asmnet-kit share`` in a process of its own, and what posts to it."""
    words = [
        sys.executable,
        "-m",
        "asmnet_kit",
        "share",
        str(INT8),
        "--results",
        getattr(request, "param", "1"),
        "--people",
        "2",
        *BY_HAND,
    ]
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "results")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "", "HOME": str(tmp_path), litert_js.ENVIRONMENT: str(fake_litert)},
    )
    assert process.stdout is not None and process.stderr is not None
    address = process.stdout.readline().strip()
    found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#([\w-]{20,})", address)
    assert found is not None, process.stderr.read()
    origin, token = found.groups()

    def post(content: Any) -> tuple[int, dict[str, Any]]:
        posted = urllib.request.Request(
            f"{origin}/api/result",
            data=content if isinstance(content, bytes) else json.dumps(content).encode(),
            headers={"Authorization": f"Bearer {token}", "Origin": origin},
        )
        try:
            with urllib.request.urlopen(posted, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    post.process = process  # type: ignore[attr-defined]  # for tests that wait for its end
    yield post
    process.kill()
    process.communicate()


def test_share_writes_an_honest_result_and_ends(sharing: Any, tmp_path: Path) -> None:
    status, answer = sharing(measured_by_hand())
    assert status == 200, answer
    assert answer["parity"]["identical"]
    assert sharing.process.wait(30) == 0
    (path,) = (tmp_path / "results").glob("*.json")
    result = load_result(path)
    assert answer["file"] == path.name
    assert result["target"]["device"] == "Testbrowser on Pixel 8 Android"
    assert result["model"]["name"] == INT8.stem and result["summary"]["p50"] == 1.045
    assert any("mean of 2 runs" in note for note in result["notes"])
    # The accuracy is worked out here, of what the page's model gave for two people.
    assert answer["nme_percent"] == result["accuracy"]["nme_percent"] > 0
    assert result["accuracy"]["faces"] == 2


def test_hostile_results_are_refused_and_nothing_is_written(sharing: Any, tmp_path: Path) -> None:
    honest = measured_by_hand()
    wrong_outputs = json.loads(json.dumps(honest["kept"]))
    for run in wrong_outputs:
        run["outputs"]["pose"].append(0.0)
    browser, protocol = honest["browser"], honest["protocol"]
    windows = [{"seconds": 5.0, "runs": 10, "p50": 1.0, "p90": 1.0}]
    hostile: list[tuple[Any, str]] = [
        ([], "the top level"),
        ({**honest, "extra": 1}, "extra"),
        ({**honest, "model": 64 * "0"}, "not served"),
        ({**honest, "model": "../../etc/passwd"}, "model"),
        ({**honest, "accelerator": "cpu"}, "accelerator"),
        (
            {**honest, "accelerator": "webgpu", "actual": "webgpu", "fully_accelerated": False},
            "left operators",
        ),
        ({**honest, "accelerator": "webgpu"}, "browser:wasm ran the model"),
        ({**honest, "kept": honest["kept"][:1] * 2}, "each run once"),
        ({**honest, "kept": honest["kept"][1:]}, "the first inference"),
        ({**honest, "kept": honest["kept"][:3] + honest["kept"][4:]}, "up to number 19"),
        ({**honest, "kept": honest["kept"][:2] + honest["kept"][3:]}, "the middle"),
        ({**honest, "kept": honest["kept"][:4]}, "fresh input"),
        ({**honest, "invoke_ms": [1.0] * 9}, "up to number 17"),
        ({**honest, "protocol": {**protocol, "runs": 9}}, "another protocol"),
        ({**honest, "protocol": {**protocol, "clock_steps": 1}}, "another version"),
        ({**honest, "sustained": windows}, "the last sustained run"),
        ({**honest, "measured_at": "2999-01-01T00:00:00.000Z"}, "lies ahead"),
        ({**honest, "measured_at": "2026-02-30T00:00:00.000Z"}, "measured_at"),
        ({**honest, "nonce": "x"}, "nonce"),
        ({**honest, "outputs": [{"landmarks": [10**400]}]}, "too large"),
        ({**honest, "invoke_ms": []}, "invoke_ms"),
        ({**honest, "invoke_ms": [0.0] * 10}, "clock"),
        ({**honest, "invoke_ms": [-1.0] * 10}, "invoke_ms"),
        ({**honest, "invoke_ms": [1e8] * 10}, "clock"),
        ({**honest, "kept": wrong_outputs}, "expected outputs"),
        ({**honest, "kept": []}, "kept"),
        ({**honest, "outputs": honest["outputs"][:1]}, "expected the outputs of 2 inputs"),
        ({**honest, "invoke_ms": [10**400] * 10}, "too large"),
        ({**honest, "invoke_ms": [1e308] * 10}, "invoke_ms"),
        ({**honest, "first_ms": True}, "first_ms"),
        ({**honest, "warmup_runs": 10**30}, "warmup_runs"),
        ({**honest, "kept": [{**honest["kept"][0], "number": 2**63}] * 3}, "kept"),
        ({**honest, "outputs": [{"landmarks": ["x"]}]}, "outputs"),
        ({**honest, "outputs": [{"landmarks": [None] * 136}] * 2}, "expected outputs"),
        ({**honest, "browser": {**browser, "name": 300 * "x"}}, "browser.name"),
        ({**honest, "browser": {**browser, "cores": 0}}, "browser.cores"),
    ]
    for content, reason in hostile:
        status, answer = sharing(content)
        assert status == 400 and reason in answer["error"], (reason, answer)
    assert list((tmp_path / "results").glob("*")) == []
    for text in ("NaN", "Infinity", "-Infinity", "1e999"):  # no JSON, or no number
        body = json.dumps(honest).replace('"first_ms": 20.0', f'"first_ms": {text}')
        status, answer = sharing(body.encode())
        assert status == 400 and ("JSON" in answer["error"] or "first_ms" in answer["error"]), text
    assert list((tmp_path / "results").glob("*")) == []
    escape = {**browser, "name": "\x1b[31mred", "device": "../../x"}
    assert sharing({**honest, "browser": escape})[0] == 200
    (path,) = (tmp_path / "results").rglob("*")
    assert path.parent == tmp_path / "results" and "\x1b" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("sharing", ["2"], indirect=True)
def test_a_result_that_is_posted_again_is_written_once(sharing: Any, tmp_path: Path) -> None:
    """``--results 2``: the second must be another measurement."""
    honest = measured_by_hand()
    assert sharing(honest)[0] == 200
    status, answer = sharing(dict(reversed(honest.items())))  # the same, in another order
    assert status == 400 and "measure again" in answer["error"]
    assert len(list((tmp_path / "results").glob("*.json"))) == 1
    assert sharing.process.poll() is None
    assert sharing({**honest, "nonce": 32 * "b"})[0] == 200
    assert sharing.process.wait(30) == 0


def test_after_a_minute_without_a_visit_share_says_what_to_look_at(
    tmp_path: Path, fake_litert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_command, "ADVICE_AFTER_S", 0.1)
    words = ["share", str(INT8), "--people", "0", "--minutes", "0.03", "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and done.output.count("Nobody has opened the page") == 1
    assert re.search(r"adb reverse tcp:(\d+) tcp:\1", done.output)


def test_wrong_outputs_are_told_and_those_of_an_accelerator_refused(sharing: Any) -> None:
    measured = measured_by_hand()
    for run in measured["kept"]:
        run["outputs"]["landmarks"] = [0.4 for _ in run["outputs"]["landmarks"]]
    status, answer = sharing({**measured, "accelerator": "webgpu", "actual": "webgpu"})
    assert status == 400 and "wrong outputs" in answer["error"]
    status, answer = sharing(measured)
    assert status == 200
    assert any("unlike the CPU's" in warning for warning in answer["warnings"])


@needs_browser
def test_over_the_network_the_page_is_secure_and_isolated(tmp_path: Path) -> None:
    """``--lan``: https by the certificate whose fingerprint was printed; camera, threads."""
    try:
        host = share_command._lan_address()
    except UsageError as error:
        pytest.skip(str(error))
    arguments = ("--ignore-certificate-errors",)  # a person would go on by hand
    options = ["--lan", "--people", "0"]
    with shared_page(tmp_path, *options, models=(INT8,), arguments=arguments) as (tab, process):
        assert tab.value("location.origin").startswith(f"https://{host}:")
        assert tab.value("[isSecureContext, crossOriginIsolated, !!navigator.mediaDevices]") == [
            True,
            True,
            True,
        ]
        assert not tab.value("document.querySelector('option[value=wasm-threads]').disabled")
        port = int(tab.value("location.port"))
        shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, port)))
        digest = hashlib.sha256(shown).hexdigest().upper()
        process.kill()
        _, said = process.communicate()
        assert ":".join(digest[i : i + 2] for i in range(0, 64, 2)) in said


def test_a_software_gpu_is_marked_and_warned_of(sharing: Any, tmp_path: Path) -> None:
    """SwiftShader takes WebGPU's work, and computes on the CPU."""
    measured = measured_by_hand() | {"accelerator": "webgpu", "actual": "webgpu"}
    measured["browser"]["gpu"] = "google swiftshader"
    status, answer = sharing(measured)
    assert status == 200, answer
    assert any("not the times of a GPU" in warning for warning in answer["warnings"])
    (path,) = (tmp_path / "results").glob("*.json")
    target = load_result(path)["target"]
    assert (target["software"], target["adapter"]) == (True, "google swiftshader")
    assert target["actual"] == "browser:software GPU"


def read(measured: dict[str, Any], tmp_path: Path, *options: str) -> Any:
    """``asmnet-kit share --read``, with the options of nobody's page."""
    file = tmp_path / "downloaded.json"
    file.write_text(json.dumps({**measured, "outputs": []}), encoding="utf-8")
    words = ["share", str(INT8), "--people", "0", *options, "--read", str(file)]
    return CliRunner().invoke(main, [*words, "--out", str(tmp_path / "results")])


def test_a_download_is_read_once_by_its_own_protocol_and_time(
    tmp_path: Path, fake_litert: Path
) -> None:
    """Whatever the reader's options are: they are of the next page."""
    measured = measured_by_hand()
    measured["protocol"]["sustained_minutes"] = 0.2
    measured["sustained"] = [
        {"seconds": 6.0 * i, "runs": 10, "p50": 0.0, "p90": 1.1} for i in (1, 2)
    ]
    last = {**measured["kept"][0], "run": "sustained", "number": 20}
    measured["kept"].insert(4, last)
    done = read(measured, tmp_path, "--sustained", "5")
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "results").glob("*.json")
    result = load_result(path)
    assert result["sustained"]["minutes"] == 0.2
    assert result["sustained"]["slowdown"] is None  # of 0 ms nobody can say
    assert result["protocol"]["requested_runs"] == 10
    assert result["measured_at"] == "2026-01-02T03:04:05+00:00"
    done = read(measured, tmp_path)
    assert done.exit_code == 0 and "read already" in done.output
    assert list((tmp_path / "results").glob("*.json")) == [path]
    # Five minutes of windows are no run of 12 seconds.
    long = [{"seconds": 5.0 * i, "runs": 1, "p50": 1.0, "p90": 1.1} for i in range(1, 61)]
    kept = [{**run, "number": 60} if run["run"] == "sustained" else run for run in measured["kept"]]
    done = read({**measured, "nonce": 32 * "b", "sustained": long, "kept": kept}, tmp_path)
    assert done.exit_code == 1 and "expected a sustained run of 12 s" in done.output


def test_a_slow_model_may_end_at_the_limit_and_no_later(tmp_path: Path, fake_litert: Path) -> None:
    """86 runs of 0.7 s: the page looked at its limit of 60 s after the last of them."""
    measured = measured_by_hand()
    measured["protocol"]["max_seconds"] = 60
    measured |= {"batch": 1, "invoke_ms": [700.0] * 86}
    first, _, _, _, fresh = measured["kept"]
    timed = [{**first, "run": "timed", "number": number} for number in (0, 40, 85)]
    measured["kept"] = [first, *timed, fresh]
    done = read(measured, tmp_path)
    assert done.exit_code == 0, done.output
    # As means of two runs each they would have taken two minutes.
    timed = [{**one, "number": 2 * one["number"] + 1} for one in timed]
    kept = [first, *timed, fresh]
    done = read({**measured, "nonce": 32 * "b", "batch": 2, "kept": kept}, tmp_path)
    assert done.exit_code == 1 and "clock of the runs cannot be right" in done.output


@needs_browser
def test_while_it_measures_neither_camera_nor_photo_opens(tmp_path: Path) -> None:
    options = ("--sustained", "0", "--seconds", "2")
    with shared_page(tmp_path, *options, arguments=devtools.CAMERA) as (tab, _):
        tab.value("document.getElementById('camera').click()")  # its model is still loading ...
        off = "['camera', 'photo'].every((id) => document.getElementById(id).disabled)"
        assert tab.value(f"document.getElementById('measure').click(), {off}")
        tab.until("document.querySelector('article')?.innerText")
        assert not tab.value(off)
        assert tab.value("document.getElementById('camera').textContent") == "Camera"
        assert tab.value(STATE).startswith("Measured.")
