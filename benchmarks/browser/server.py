"""Serves the page, and nothing else of this machine: standard library alone, no framework.

One origin, three kinds of paths. Files of the page are a fixed list, so no path of the disk can be
asked for. Everything under ``/api/`` needs the token, which travels in the address's fragment and
so is in no log and no Referer; the page gives it as ``Authorization: Bearer``. What is posted has a
limit of bytes and must come from the page's own origin. Requests for another host than those the
page was published under are refused, which keeps other sites' scripts out (DNS rebinding).
"""

import gzip
import hmac
import json
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Any

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.browser.packed import BROTLI, GZIP, brotli, chosen_encoding, packed
from asmnet_kit.results.results import parse_json

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = (LOOPBACK, "localhost")  # adb reverse makes a phone's localhost this machine's
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_POST_BYTES = 50_000_000  # a million samples, or the outputs of 10,000 faces
MAX_AT_ONCE = 64  # connections
MAX_OF_ONE = 32  # of one address; a browser opens six
IDLE_S = 60.0  # a connection that says nothing for so long is closed
REQUEST_S = 300.0  # a request takes no longer, its answer included: 3 MB at 0.1 Mbit/s
TOKEN_BYTES = 16

PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("core", "page", "worker")
    },
}
LITERT = f"/litert/{litert_js.VERSION}/"
FOR_EVER = "public, max-age=31536000, immutable"
API = "/api/"
INPUTS = ".inputs"  # how the names of blobs of inputs end: large, and they pack badly
KINDS = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm"}

# Nothing from anywhere else; WebAssembly may be compiled, and its threads start from blob:.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",  # these two: threads and fine clocks
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Take = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Content:
    """What the page can ask for and give.

    Attributes:
        job: the answer to ``GET /api/job``.
        blobs: name -> bytes, the answers to ``GET /api/blob/NAME``.
        posts: NAME -> what gets the parsed JSON of ``POST /api/NAME`` and answers with what the
            page shows; a KitError becomes a refusal that the page shows. One call at a time.
        small: pack models as small as it gets, which takes seconds; they are prepared while nobody
            has come yet.
    """

    job: dict[str, Any]
    blobs: Mapping[str, bytes]
    posts: Mapping[str, Take]
    litert: Path = field(default_factory=litert_js.default_folder)
    small: bool = False


class PageServer:
    """Serves ``content`` in threads of its own while the block runs.

    Args:
        host: the one address that it listens on.
        port: 0 for a free one.
        certificate: (certificate, key) files for https; http without.

    Raises:
        UsageError: the port is taken, or the address is none of this machine.
    """

    def __init__(
        self,
        content: Content,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.content = content
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.taking = threading.Lock()
        self.visited = False  # whether a browser asked for the page
        try:
            self._http = _Http((host, port), self)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}, port {port or 'any'}: {error.strerror}; choose another "
                f"with --port"
            ) from error
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(*certificate)
            self._http.tls = context
            scheme = "https"
        self.port = int(self._http.server_address[1])
        names = LOCAL_NAMES if host == LOOPBACK else (host,)
        self.hosts = hosts_of(names, self.port, scheme)
        self.origins = frozenset(f"{scheme}://{name}" for name in self.hosts)
        self.origin = f"{scheme}://{host}:{self.port}"

    @property
    def address(self) -> str:
        """Of the page, with the token."""
        return f"{self.origin}/#{self.token}"

    def __enter__(self) -> "PageServer":
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        if self.content.small and brotli() is not None:
            threading.Thread(target=self._prepare, daemon=True).start()
        return self

    def _prepare(self) -> None:
        for name, blob in self.content.blobs.items():
            if not name.endswith(INPUTS):
                packed(blob, BROTLI, best=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a phone that left its connections open would keep the command
    request_queue_size = MAX_AT_ONCE

    def __init__(self, address: tuple[str, int], page: PageServer) -> None:
        self.page = page
        self.tls: ssl.SSLContext | None = None
        self._open: Counter[str] = Counter()  # connections by address
        self._counting = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        client = client_address[0]
        with self._counting:
            full = self._open.total() >= MAX_AT_ONCE or self._open[client] >= MAX_OF_ONE
            if not full:
                self._open[client] += 1
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self._open[client_address[0]] -= 1

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is made here, in the connection's own thread, and cannot hold others up."""
        request.settimeout(IDLE_S)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.tls is not None:
            self.shutdown_request(request)

    def handle_error(self, request: socket | Any, client_address: Any) -> None:
        """A client that left, or spoke no TLS, is nothing to tell of."""


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "asmnet-kit", ""
    timeout = IDLE_S

    def handle_one_request(self) -> None:
        """One that drips in byte by byte is cut off: each byte alone would restart IDLE_S."""
        limit = threading.Timer(REQUEST_S, self._cut)
        limit.daemon = True
        limit.start()
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):  # cut, or gone, while it was read
            self.close_connection = True
        finally:
            limit.cancel()

    def _cut(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *arguments: Any) -> None:
        """The terminal belongs to the command."""

    def _answer(self, respond: Callable[[], None]) -> None:
        try:
            self._check_origin()
            respond()
        except _Refused as refused:
            self.close_connection = True  # what the client still sends is not read
            self._send_json({"error": str(refused)}, refused.status)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    def _check_origin(self) -> None:
        page = self.server.page
        if self.headers.get("Host") not in page.hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
        origin = self.headers.get("Origin")
        foreign_fetch = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        opened = self.headers.get("Sec-Fetch-Mode") == "navigate"  # a link, or a scanned code
        if (origin is not None and origin not in page.origins) or (foreign_fetch and not opened):
            raise _Refused(HTTPStatus.FORBIDDEN, "the request is of another site")
        if self.command == "POST" and origin is None:
            raise _Refused(HTTPStatus.FORBIDDEN, "the request is of no page")

    def _check_token(self) -> None:
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.server.page.token}".encode()):
            raise _Refused(HTTPStatus.FORBIDDEN, "wrong token: open the address as it was printed")

    def _get(self) -> None:
        path = self.path.partition("?")[0]
        content = self.server.page.content
        if path in PAGE:
            self.server.page.visited = True
            name, kind = PAGE[path]
            self._send(page_file(name), kind, encoding=self._encoding())
        elif path.startswith(LITERT) and path.removeprefix(LITERT) in litert_js.names():
            self._send_litert(path.removeprefix(LITERT))
        elif path.startswith(API):
            self._check_token()
            if path == f"{API}job":
                self._send_json(content.job)
            elif path.removeprefix(f"{API}blob/") in content.blobs:
                name = path.removeprefix(f"{API}blob/")
                best = content.small and not name.endswith(INPUTS)
                kind = "application/octet-stream"
                self._send(content.blobs[name], kind, encoding=self._encoding(), best=best)
            else:
                raise _Refused(HTTPStatus.NOT_FOUND, "nothing of that name")
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing of that name")

    def _post(self) -> None:
        self._check_token()
        take = self.server.page.content.posts.get(self.path.removeprefix(API))
        if take is None or not self.path.startswith(API):
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing of that name")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if len(length) > 12 or int(length) > MAX_POST_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_POST_BYTES} bytes"
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        try:
            posted = parse_json(body)
        except ValueError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"expected JSON, but {error}") from error
        try:
            with self.server.page.taking:
                answer = take(posted)
        except KitError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        self._send_json(answer)

    def _send_litert(self, name: str) -> None:
        folder = self.server.page.content.litert
        kind = KINDS.get(Path(name).suffix, "text/plain; charset=utf-8")
        encoding = self._encoding()
        try:
            if not name.endswith(".wasm"):
                content = (folder / litert_js.stored(name)).read_bytes()
                self._send(content, kind, encoding=encoding, best=True, kept=FOR_EVER)
                return
            # Packed already: by brotli only where ``make web`` found it installed.
            found = encoding or GZIP
            if not (folder / litert_js.stored(name, found)).is_file():
                found = GZIP
            content = (folder / litert_js.stored(name, found)).read_bytes()
        except OSError as error:
            raise _Refused(HTTPStatus.NOT_FOUND, litert_js.HOW_TO_GET) from error
        if encoding is None:
            self._send(gzip.decompress(content), kind, kept=FOR_EVER)
        else:
            self._send(content, kind, encoding=found, packed_already=True, kept=FOR_EVER)

    def _encoding(self) -> str | None:
        return chosen_encoding(self.headers.get("Accept-Encoding", ""))

    def _send_json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status=status)

    def _send(
        self,
        content: bytes,
        kind: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        encoding: str | None = None,
        packed_already: bool = False,
        best: bool = False,
        kept: str = "no-store",
    ) -> None:
        if encoding is not None and not packed_already:
            content = packed(content, encoding, best=best)
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", kept)
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def hosts_of(names: Iterable[str], port: int, scheme: str) -> frozenset[str]:
    """What clients may send as ``Host``: they leave out the port that the scheme has by default."""
    hosts = {f"{name}:{port}" for name in names}
    return frozenset(hosts | set(names) if port == DEFAULT_PORTS[scheme] else hosts)


@cache
def page_file(name: str) -> bytes:
    """A file of the page."""
    return files("asmnet_kit.benchmarks.browser.page").joinpath(name).read_bytes()
