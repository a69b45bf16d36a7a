"""A page in Chromium under a test's hand: DevTools over a pipe, without any package."""

import base64
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import cv2

from asmnet_kit.benchmarks.browser import chromium
from asmnet_kit.face.pictures import Image

TIMEOUT_S = 90.0
# A film in place of the camera, and nobody to ask for it.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
FILM = "--use-file-for-fake-video-capture"


class Page:
    """One tab. Every method raises AssertionError where the browser answers with an error."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest, self._last = write, read, b"", 0
        self._session = ""
        self.events: list[dict[str, Any]] = []

    def look(self, *, width: int, height: int, dark: bool = False, calm: bool = False) -> None:
        """Choose the screen, in CSS pixels, and what its owner prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str, *, code: int, text: str = "") -> None:
        """A key of the keyboard, down and up."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def open(self, address: str, *, width: int, height: int, dark: bool = False) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.look(width=width, height=height, dark=dark)
        self.call("Page.navigate", url=address)
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def value(self, expression: str) -> Any:
        """Of JavaScript, awaited."""
        done = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, expression: str, *, within_s: float = TIMEOUT_S) -> Any:
        """The value of an expression once it is true."""
        ends = time.monotonic() + within_s
        while True:
            value = self.value(expression)
            if value:
                return value
            assert time.monotonic() < ends, (expression, self.value("document.body.innerText"))
            time.sleep(0.2)

    def choose_file(self, selector: str, path: Path) -> None:
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def complaints(self) -> list[str]:
        """What the browser logged as errors, refusals by the page's policy among them."""
        return [
            event["params"]["entry"]["text"]
            for event in self.events
            if event.get("method") == "Log.entryAdded"
            and event["params"]["entry"]["level"] == "error"
        ]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 16)
            assert piece, "Chromium is gone"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def page(profile: Path, arguments: Sequence[str] = ()) -> Iterator[Page]:
    """A tab of a Chromium without a window."""
    found = chromium.program()
    assert found is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    root = (chromium.AS_ROOT,) if os.geteuid() == 0 else ()
    words = [found, *chromium.ARGUMENTS, *root, *arguments, "--remote-debugging-pipe"]
    words.append(f"--user-data-dir={profile}")
    process = Popen(
        # Chromium listens on descriptor 3 and answers on 4.
        ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words],
        pass_fds=(theirs_in, theirs_out),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(20)
        os.close(ours_out)
        os.close(ours_in)


def write_y4m(path: Path, frames: Sequence[Image], *, fps: int) -> None:
    """A film that Chromium takes for a camera's: uncompressed, full-size luma, half-size chroma."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            file.write(b"FRAME\n" + planes.tobytes())
