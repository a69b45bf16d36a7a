"""This machine's Chromium without a window, with LiteRT.js: what a phone's browser runs, for CI.

The page is the one that ``asmnet-kit share`` serves to phones (asmnet_kit.benchmarks.browser). It
measures by itself and posts what it measured; the outputs are judged here.
"""

import queue
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.benchmarks.browser import chromium, litert_js
from asmnet_kit.benchmarks.protocol import (
    PATIENCE_S,
    Abilities,
    Measurement,
    OnProgress,
    RemoteError,
    Request,
)

if TYPE_CHECKING:  # at run time they would bring NumPy and OpenCV into every listing of targets
    from asmnet_kit.benchmarks.checking.check import Check
    from asmnet_kit.face.predictor import Predictor

START_S = 120.0  # Chromium, the runtime and compiling, on a slow machine
INPUTS_S = 900.0
POLL_S = 0.5


@dataclass(frozen=True)
class BrowserTarget:
    """``--target browser`` (``browser:wasm``), ``browser:wasm-threads``, ``browser:webgpu``."""

    name: str
    abilities: Abilities

    @property
    def accelerator(self) -> str:
        return self.name.partition(":")[2] or "wasm"

    def problem(self, request: Request | None = None) -> str | None:
        if chromium.program() is None:
            return f"no Chromium is on the PATH: {chromium.HOW_TO_GET}"
        folder = litert_js.default_folder()
        if litert_js.missing(folder):
            return f"LiteRT.js {litert_js.VERSION} is not in {folder}: {litert_js.HOW_TO_GET}"
        return None

    def refuse(self, request: Request) -> None:
        """As ``refuse_request`` asks.

        Raises:
            UsageError: the page has no such mode.
        """
        if request.mode != "standard":
            raise UsageError(f"target {self.name}: the page has no --single-stream: leave it out")

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        """As ``Target`` has it.

        Raises:
            MissingDependency: there is no Chromium, or LiteRT.js was not fetched.
            RemoteError: the page failed, or told nothing in time.
        """
        from asmnet_kit.benchmarks.browser.job import SharedModel, job, refuse_unmeasured
        from asmnet_kit.benchmarks.browser.server import Content, PageServer
        from asmnet_kit.benchmarks.timing.session_timing import inputs_for
        from asmnet_kit.tflite.tensorfile import write_tensors

        folder = litert_js.require(litert_js.default_folder())
        model = SharedModel.of(request)
        if request.inputs is not None:
            model = SharedModel.of(request, inputs_for(model.runtime, request.inputs))
        came: queue.Queue[dict[str, Any]] = queue.Queue()

        def take(posted: Any) -> dict[str, Any]:
            came.put({"measured": refuse_unmeasured(posted)})
            return {}

        def failed(posted: Any) -> dict[str, Any]:
            came.put({"error": str(posted)[:1000]})
            return {}

        content = Content(
            job([model], accelerators=[self.accelerator], auto=True),
            model.blobs(),
            {"result": take, "failed": failed},
            folder,
        )
        gpu = (chromium.WEBGPU,) if self.accelerator == "webgpu" else ()
        limit = START_S + 2 * request.max_seconds + 60 * request.sustained_minutes
        limit += 0 if request.inputs is None else INPUTS_S
        with PageServer(content) as server, chromium.opened(server.address, gpu) as process:
            measured = self._answer(came, process, limit, on_progress)
        if measured["accelerator"] != self.accelerator:
            raise RemoteError(
                f"{self.name}: the page measured {measured['accelerator']}, not {self.accelerator}"
            )
        if request.outputs is not None:
            write_tensors(request.outputs, model.outputs(measured))
        return model.measurement(measured)

    def predictor(self, request: Request) -> "Predictor":
        """The model as a predictor each call of which is a measured run in the browser."""
        from asmnet_kit.benchmarks.targets.remote_predictor import RemotePredictor

        return RemotePredictor(self, request)

    def _answer(
        self, came: "queue.Queue[dict[str, Any]]", process: Any, limit: float, tell: OnProgress
    ) -> dict[str, Any]:
        started = time.monotonic()
        while True:
            try:
                answer = came.get(timeout=POLL_S)
            except queue.Empty:
                elapsed = time.monotonic() - started
                if process.poll() is not None:
                    raise RemoteError(
                        f"{self.name}: Chromium ended with exit code {process.returncode}"
                    ) from None
                if elapsed > limit:
                    raise RemoteError(
                        f"{self.name}: the page sent nothing within {limit:.0f} s"
                    ) from None
                tell(min(0.99, elapsed / limit), "runs in the browser")
                continue
            if "error" in answer:
                raise ModelError(f"{self.name}: the page failed: {answer['error']}")
            measured: dict[str, Any] = answer["measured"]
            return measured


class WasmTarget(BrowserTarget):
    """The CPU's ways: what they run of a model is told without a browser."""

    def check(self, request: Request) -> "Check":
        """What WebAssembly would run of a model, by rules and the twin on this machine.

        Raises:
            ModelError: the file cannot be read.
        """
        from asmnet_kit.benchmarks.browser.check import check_for_browser

        return check_for_browser(request)


def _abilities(*, accelerator: bool = False, threads: bool = False) -> Abilities:
    return Abilities(
        accelerator=accelerator,
        uses_threads=threads,
        patience_s=PATIENCE_S + START_S,
        inputs_patience_s=INPUTS_S,
    )


BROWSER = WasmTarget("browser", _abilities())
BROWSER_WASM = WasmTarget("browser:wasm", _abilities())
BROWSER_THREADS = WasmTarget("browser:wasm-threads", _abilities(threads=True))
BROWSER_WEBGPU = BrowserTarget("browser:webgpu", _abilities(accelerator=True))
