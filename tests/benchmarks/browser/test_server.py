"""The page's server gives its own page and nothing else, to nobody but the page."""

import gzip
import http.client
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.browser import litert_js, packed
from asmnet_kit.benchmarks.browser import server as server_module
from asmnet_kit.benchmarks.browser.certificate import certificate_for
from asmnet_kit.benchmarks.browser.server import (
    MAX_OF_ONE,
    MAX_POST_BYTES,
    PAGE,
    Content,
    PageServer,
    hosts_of,
    page_file,
)

JOB = {"models": []}
LITERT = f"/litert/{litert_js.VERSION}/"


def take(posted: Any) -> dict[str, Any]:
    if posted == {"bad": True}:
        raise KitError("no result")
    return {"got": posted}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    (tmp_path / "index.js").write_text("export {}", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    content = Content(JOB, {"abc.tflite": b"model"}, {"result": take}, tmp_path)
    with PageServer(content) as running:
        yield running


def ask(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str | None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """As the page asks; a header given as None is left out, ``_`` stands for ``-``."""
    given: dict[str, str | None] = {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": f"Bearer {server.token}",
        "Origin": server.origin if method == "POST" else None,
    }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    if body is not None and "Content-Length" not in given:
        given["Content-Length"] = str(len(body))
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_the_page_gets_its_files_job_and_blobs(server: PageServer) -> None:
    for path in PAGE:
        status, headers, content = ask(server, "GET", path, Authorization=None)
        assert status == 200 and content
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    assert json.loads(ask(server, "GET", "/api/job")[2]) == JOB
    assert ask(server, "GET", "/api/blob/abc.tflite")[2] == b"model"
    assert ask(server, "GET", f"{LITERT}index.js")[2] == b"export {}"
    assert json.loads(ask(server, "POST", "/api/result", b"[1]")[2]) == {"got": [1]}
    assert server.address == f"http://127.0.0.1:{server.port}/#{server.token}"


def test_a_wrong_token_is_refused(server: PageServer) -> None:
    for token in (None, "", "Bearer ", "Bearer x", server.token, f"Bearer {server.token}x", "é"):
        for path in ("/api/job", "/api/blob/abc.tflite", "/api/nothing"):
            assert ask(server, "GET", path, Authorization=token)[0] == 403, token
        assert ask(server, "POST", "/api/result", b"{}", Authorization=token)[0] == 403


def test_another_host_is_refused(server: PageServer) -> None:
    for host in (None, "evil.example", f"evil.example:{server.port}", "127.0.0.1", "localhost:1"):
        assert ask(server, "GET", "/", Host=host)[0] == 421, host
        assert ask(server, "GET", "/api/job", Host=host)[0] == 421, host
    assert ask(server, "GET", "/", Host=f"localhost:{server.port}")[0] == 200  # adb reverse


def test_the_port_that_a_scheme_has_by_default_may_be_left_out() -> None:
    assert hosts_of(["a"], 80, "http") == {"a", "a:80"}
    assert hosts_of(["a"], 443, "https") == {"a", "a:443"}
    assert hosts_of(["a"], 443, "http") == {"a:443"}


def test_another_site_is_refused(server: PageServer) -> None:
    for origin in ("https://evil.example", "null", f"https://127.0.0.1:{server.port}"):
        assert ask(server, "POST", "/api/result", b"{}", Origin=origin)[0] == 403, origin
        assert ask(server, "GET", "/api/job", Origin=origin)[0] == 403, origin
    assert ask(server, "POST", "/api/result", b"{}", Origin=None)[0] == 403
    assert ask(server, "GET", "/core.js", Sec_Fetch_Site="cross-site")[0] == 403
    opened = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(server, "GET", "/", **opened)[0] == 200  # a link to the page is none


def test_too_much_or_no_length_is_refused(server: PageServer) -> None:
    too_much = str(MAX_POST_BYTES + 1)
    assert ask(server, "POST", "/api/result", b"", Content_Length=too_much)[0] == 413
    assert ask(server, "POST", "/api/result", b"", Content_Length="9" * 40)[0] == 413
    for length in (None, "-1", "x", "1.5"):
        assert ask(server, "POST", "/api/result", b"", Content_Length=length)[0] == 411, length


def test_no_path_leads_out_of_the_page(server: PageServer) -> None:
    paths = [
        "/../../etc/passwd", "/%2e%2e/etc/passwd", "/etc/passwd", "/page/core.js", "/__init__.py",
        f"{LITERT}../secret.txt", f"{LITERT}secret.txt", f"{LITERT}..%2fsecret.txt", LITERT,
        "/api/blob/../job", "/api/blob/", "/api/", "/api", "/index.html/", "/index.html",
    ]  # fmt: skip
    for path in paths:
        assert ask(server, "GET", path)[0] == 404, path
    assert ask(server, "POST", "/result", b"{}")[0] == 404
    assert ask(server, "POST", "/api/other", b"{}")[0] == 404
    assert ask(server, "PUT", "/api/result", b"{}")[0] == 501


def test_what_is_no_json_or_no_result_is_refused_with_the_reason(server: PageServer) -> None:
    for body in (b"", b"{", b"\xff", b"[NaN]", b"[" * 5000):
        status, _, content = ask(server, "POST", "/api/result", body)
        assert status == 400 and "expected JSON" in json.loads(content)["error"]
    status, _, content = ask(server, "POST", "/api/result", b'{"bad": true}')
    assert (status, json.loads(content)) == (400, {"error": "no result"})


def test_a_body_that_is_cut_off_is_nothing(server: PageServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as half:
        head = f"POST /api/result HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        head += f"Origin: {server.origin}\r\nAuthorization: Bearer {server.token}\r\n"
        half.sendall((head + "Content-Length: 100\r\n\r\n[1").encode())
        half.shutdown(socket.SHUT_WR)
        assert half.recv(100) == b""
    assert ask(server, "GET", "/api/job")[0] == 200


def test_files_are_packed_as_the_browser_takes_them(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wasm = f"{LITERT}litert_wasm_internal.wasm"
    plain = b"\0asm" + bytes(1000)
    (tmp_path / "litert_wasm_internal.wasm.gz").write_bytes(gzip.compress(plain))
    status, headers, content = ask(server, "GET", wasm)
    assert (status, headers["Content-Encoding"], content) == (200, None, plain)
    for path, expected in ((wasm, plain), ("/core.js", page_file("core.js"))):
        # Where no brotli is, or nobody packed by it, gzip is sent.
        monkeypatch.setattr(packed, "brotli", lambda: None)
        _, headers, content = ask(server, "GET", path, Accept_Encoding="gzip, deflate, br")
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(content) == expected
    module = pytest.importorskip("brotli", reason="pip install 'asmnet-kit[web]'")
    monkeypatch.setattr(packed, "brotli", lambda: module)
    _, headers, content = ask(server, "GET", wasm, Accept_Encoding="gzip, br")
    assert headers["Content-Encoding"] == "gzip" and gzip.decompress(content) == plain
    litert_js_file = tmp_path / "litert_wasm_internal.wasm.br"
    litert_js_file.write_bytes(module.compress(plain))
    for path, expected in ((wasm, plain), ("/core.js", page_file("core.js"))):
        _, headers, content = ask(server, "GET", path, Accept_Encoding="gzip, br")
        assert headers["Content-Encoding"] == "br" and module.decompress(content) == expected


def test_slow_clients_are_cut_off_and_keep_nobody_out(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that drips in bytes for ever, and an address that opens more than a browser would."""
    monkeypatch.setattr(server_module, "REQUEST_S", 1.0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        started = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\n")
        ended = False
        while not ended and time.monotonic() - started < 20:
            try:
                slow.sendall(b"X-More: 1\r\n")
                slow.settimeout(0.2)
                ended = slow.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
    monkeypatch.setattr(server_module, "REQUEST_S", 300.0)
    with ExitStack() as stack:
        for _ in range(2 * MAX_OF_ONE):  # from 127.0.0.2, which says nothing
            one = socket.create_connection(
                ("127.0.0.1", server.port), timeout=20, source_address=("127.0.0.2", 0)
            )
            stack.enter_context(one)
        assert ask(server, "GET", "/api/job")[0] == 200


def test_a_taken_port_is_told(server: PageServer) -> None:
    with pytest.raises(UsageError, match="--port"):
        PageServer(server.content, port=server.port)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    folder = Path(litert_js.__file__).parent / "page"
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8") if path.suffix in (".html", ".css", ".js") else ""
        assert re.findall(r"https?://[^\s\"')]+", text) == [], path
        assert "innerHTML" not in text and "eval(" not in text


def test_https_serves_by_a_certificate_of_that_address(tmp_path: Path) -> None:
    with certificate_for("127.0.0.1") as made:
        assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", made.fingerprint)
        files = (made.certificate, made.key)
        with PageServer(Content(JOB, {}, {}, tmp_path), certificate=files) as server:
            trusting = ssl.create_default_context(cafile=str(made.certificate))
            connection = http.client.HTTPSConnection(
                "127.0.0.1", server.port, context=trusting, timeout=10
            )
            connection.request("GET", "/core.js")
            assert connection.getresponse().status == 200
            connection.close()
            assert server.address.startswith("https://127.0.0.1:")
            # Plain http at the same port gets no answer, and harms nobody.
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with suppress(ConnectionResetError):
                    assert b"200" not in plain.recv(1000)
            connection.request("GET", "/core.js")
            assert connection.getresponse().status == 200
            connection.close()
        assert not made.key.is_symlink()
    assert not made.key.exists()
