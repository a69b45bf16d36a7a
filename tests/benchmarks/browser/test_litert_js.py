"""LiteRT.js comes from the registry as it was pinned, or not at all."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.browser.litert_js import Package


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry of this machine with small packages of the same shape."""
    core = {"package/dist/index.js": b'import { a } from "@litertjs/wasm-utils";\n'}
    for variant in litert_js.VARIANTS:
        core[f"package/wasm/{variant}.js"] = variant.encode()
        core[f"package/wasm/{variant}.wasm"] = b"\0asm" + variant.encode()
    served = tmp_path / "registry"
    served.mkdir()
    for name, files in (("CORE", core), ("UTILS", {"package/dist/index.js": b"export let a;\n"})):
        content = archive(files)
        (served / f"{name}.tgz").write_bytes(content)
        package = Package(f"{name}.tgz", hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(litert_js, name, package)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


def test_every_file_that_a_page_may_ask_for_is_written(registry: str, tmp_path: Path) -> None:
    folder = tmp_path / "litert"
    assert litert_js.missing(folder)
    litert_js.fetch(folder, registry=registry)
    assert not litert_js.missing(folder)
    assert (folder / "index.js").read_bytes() == b'import { a } from "./wasm-utils.js";\n'
    for variant in litert_js.VARIANTS:
        packed = (folder / f"{variant}.wasm.gz").read_bytes()
        assert gzip.decompress(packed) == b"\0asm" + variant.encode()
    assert "Apache License" in (folder / "NOTICE").read_text(encoding="utf-8")


def test_another_content_than_the_pinned_one_is_refused(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert_js, "UTILS", Package("UTILS.tgz", 64 * "0"))
    with pytest.raises(KitError, match="expected the SHA-256 0000"):
        litert_js.fetch(tmp_path / "litert", registry=registry)
    assert not (tmp_path / "litert").exists()


def test_without_it_the_way_to_get_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match=r"python -m .*litert_js"):
        litert_js.require(tmp_path)


def test_a_fetch_says_what_it_does_and_a_registry_that_is_away_ends_it_in_one_line(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"Error: .*without a network") as ended:
        litert_js.main(tmp_path / "litert", registry="http://127.0.0.1:9")
    assert "fetching" in capsys.readouterr().err and "\n" not in str(ended.value)
    litert_js.main(tmp_path / "litert", registry=registry)
    assert capsys.readouterr().out == f"{tmp_path / 'litert'}\n"
    litert_js.main(tmp_path / "litert", registry="http://127.0.0.1:9")  # nothing left to fetch
