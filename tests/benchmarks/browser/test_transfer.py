"""What a phone loads, counted at the server: page, runtime, model, camera, and headers."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import devtools
from asmnet_kit.benchmarks.browser import litert_js, packed
from asmnet_kit.benchmarks.browser.job import ACCELERATORS, SharedModel, detector_blobs, job
from asmnet_kit.benchmarks.browser.server import Content, PageServer, _Handler
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.drawn_faces.film import film
from page_in_chromium import INT8, STATE, needs_browser

GOAL = 3_500_000  # bytes until landmarks are on the camera picture
SMALLEST = litert_js.default_folder() / litert_js.stored(f"{litert_js.VARIANTS[0]}.wasm", "br")

needs_brotli = pytest.mark.skipif(
    packed.brotli() is None or not SMALLEST.is_file(),
    reason="no brotli: pip install 'asmnet-kit[web]', then make web",
)


class Counted:
    """A connection's writer that counts by path."""

    def __init__(self, handler: Any, sent: Counter[str]) -> None:
        self._handler, self._sent, self._to = handler, sent, handler.wfile

    def write(self, content: bytes) -> int:
        self._sent[self._handler.path.partition("?")[0]] += len(content)
        written: int = self._to.write(content)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


@needs_browser
@needs_brotli
def test_page_runtime_model_and_camera_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: Counter[str] = Counter()
    setup = _Handler.setup

    def counting(handler: Any) -> None:
        setup(handler)
        handler.wfile = Counted(handler, sent)

    monkeypatch.setattr(_Handler, "setup", counting)
    model = SharedModel.of(Request(INT8, "browser:wasm", warmup_runs=2, runs=10, min_seconds=0))
    content = Content(
        job([model], accelerators=ACCELERATORS, auto=False),
        {**detector_blobs(), **model.blobs()},
        {},
        small=True,
    )
    frames = [face.image for face in film(10, seed=3, size=320, motion=0.3)]
    devtools.write_y4m(tmp_path / "film.y4m", frames, fps=10)
    arguments = (*devtools.CAMERA, f"{devtools.FILM}={tmp_path / 'film.y4m'}")
    with (
        PageServer(content) as server,
        devtools.page(tmp_path / "profile", arguments) as tab,
    ):
        tab.open(server.address, width=360, height=740)
        tab.until(f"{STATE} === 'Ready.'")
        assert not any("litert" in path or "blob" in path for path in sent)  # not before it is used
        tab.value("document.getElementById('camera').click()")
        tab.until("/^1 face .*a frame$/.test(document.getElementById('told').textContent)")
        assert sum(sent.values()) <= GOAL, sent
        # What nobody asked for is not loaded: other variants, the inputs of Measure.
        wasm = [path for path in sent if path.endswith(".wasm")]
        assert len(wasm) == 1 and not any(path.endswith(".inputs") for path in sent)
        assert sum(".tflite" in path for path in sent) == 1  # the model, and no twin beside it
        # One face for sure: nothing asks the network that confirms.
        assert not any("full.detector" in path for path in sent)
        print(f"{sum(sent.values())} bytes: {dict(sent)}")
