"""Prepared data sets on a server: http(s)://, s3://, gs:// and whatever else fsspec reaches.

``dataset.json`` and the table of labels are copied to this machine's cache once; pictures are
fetched as byte ranges of their shards when they are shown, those of a batch together.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from asmnet_kit.base.errors import (
    DatasetError,
    KitError,
    Outage,
    ServerError,
    UsageError,
    one_line,
    require,
)
from asmnet_kit.base.files import replacing
from asmnet_kit.base.install import install_command
from asmnet_kit.base.places import MARK
from asmnet_kit.datasets.base import Picture
from asmnet_kit.datasets.face_table import (
    NAMES,
    ROWS,
    FaceTable,
    FetchedPicture,
    checked,
    open_table,
)
from asmnet_kit.face.pictures import Image, decode_image

# What brings each kind of place, beside fsspec itself.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
CONNECT_S, SILENT_S = 30.0, 60.0
TRIES, PAUSE_S = 4, 1.0  # of a request; the pause doubles each time
# Of HTTP: these a server gives for a while; any other one of 400 to 499 is its last word.
PASSING = (408, 425, 429)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RemoteStore:
    """A folder on a server.

    Attributes:
        url: as the user gave it, without a slash at its end.
        system: fsspec's file system.
        root: the folder in its words.
    """

    url: str
    system: Any
    root: str

    @classmethod
    def open(cls, url: str) -> "RemoteStore":
        """The folder at ``url``.

        Raises:
            MissingDependency: fsspec, or what it needs for this kind of place, is not installed.
            UsageError: fsspec knows no such kind of place.
        """
        fsspec = require("fsspec", extra="remote")
        kind = url.partition(MARK)[0]
        try:
            system, root = fsspec.core.url_to_fs(url.rstrip("/"), **_options(kind))
        except ImportError as error:
            extra = EXTRAS.get(kind, "remote")
            raise KitError(
                f"{url}: {kind}{MARK} needs a package that is not installed ({one_line(error)}). "
                f"Install it with: {install_command(extra)}"
            ) from error
        except ValueError as error:
            raise UsageError(f"{url}: expected an address that fsspec knows: {error}") from error
        return cls(url.rstrip("/"), system, str(root).rstrip("/"))

    def place(self, shard: str) -> str:
        return f"{self.url}/{shard}"

    def picture(self, shard: str, offset: int, length: int, crc32: int) -> Picture:
        return RemotePicture(self, shard, offset, length, crc32)

    def pictures(self, places: Sequence[tuple[str, int, int, int]]) -> list[Picture]:
        """Fetched together.

        Raises:
            DatasetError: one is damaged.
            ServerError: one cannot be fetched.
        """
        paths = [f"{self.root}/{shard}" for shard, _, _, _ in places]
        starts = [offset for _, offset, _, _ in places]
        ends = [offset + length for _, offset, length, _ in places]

        def fetch() -> list[bytes]:
            found = self.system.cat_ranges(paths, starts, ends, on_error="return")
            for one in found:
                if isinstance(one, BaseException):
                    raise one
            return list(found)

        contents = self._persistently(fetch, f"{self.url}: pictures")
        return [
            FetchedPicture(name, self._whole(content, length, crc32, name))
            for content, (shard, offset, length, crc32) in zip(contents, places, strict=True)
            for name in (f"{self.place(shard)}@{offset}",)
        ]

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            ServerError: it cannot be fetched.
        """
        path = f"{self.root}/{name}"
        return bytes(self._persistently(lambda: self.system.cat_file(path), self.place(name)))

    def fetch(self, name: str, digest: str) -> Path:
        """A file's copy in this machine's cache, where it stays.

        Args:
            digest: its SHA-256, by which the copy is found again.

        Raises:
            DatasetError: it is not the one that is described.
            ServerError: it cannot be fetched.
        """
        copy = cache() / "records" / hashlib.sha256(digest.encode()).hexdigest()
        if not copy.is_file():
            path = f"{self.root}/{name}"
            with replacing(copy) as temporary:
                self._persistently(
                    lambda: self.system.get_file(path, str(temporary)), self.place(name)
                )
                found = hashlib.sha256()
                with temporary.open("rb") as file:
                    while part := file.read(1 << 20):
                        found.update(part)
                if (
                    found.hexdigest() != digest
                ):  # nothing is kept: the next call asks the server again
                    raise DatasetError(
                        f"{self.place(name)}: not the file that dataset.json there describes: copy "
                        "the prepared folder to the server again"
                    )
        return copy

    def size_of(self, shard: str) -> int:
        """Bytes of a file; -1 where the server does not say."""
        path = f"{self.root}/{shard}"
        found = self._persistently(lambda: self.system.info(path), self.place(shard))
        return -1 if found.get("size") is None else int(found["size"])

    def _whole(self, content: bytes, length: int, crc32: int, name: str) -> bytes:
        if len(content) > length:
            raise ServerError(
                f"{self.url}: the server sends whole files where a part is asked for: expected "
                "one that knows Range requests, as object stores, nginx and Apache do"
            )
        return checked(content, crc32, name)

    def _persistently(self, call: Callable[[], Answer], what: str) -> Answer:
        """What ``call`` gives; tried again where the network fails.

        Raises:
            Outage: it failed each time.
            ServerError: the server refuses it.
        """
        for attempt in range(TRIES):
            try:
                return call()
            except FileNotFoundError as error:
                raise ServerError(f"{what}: not found on the server") from error
            except Exception as error:  # each file system has errors of its own
                if _is_refused(error):
                    raise ServerError(
                        f"{what}: refused by the server: {one_line(error)[:200]}"
                    ) from error
                if attempt + 1 == TRIES:
                    # Of a connection, aiohttp's own words are of its settings ("ssl:default").
                    reason = one_line(getattr(error, "os_error", error))[:200]
                    raise Outage(
                        f"{what}: cannot be fetched, tried {TRIES} times: {reason}"
                    ) from error
                time.sleep(PAUSE_S * 2**attempt)
        raise AssertionError


@dataclass(frozen=True)
class RemotePicture:
    """An encoded picture in a shard on a server."""

    store: RemoteStore
    shard: str
    offset: int
    length: int
    crc32: int

    @property
    def name(self) -> str:
        return f"{self.store.place(self.shard)}@{self.offset}"

    def size_bytes(self) -> int:
        return self.length

    def read_encoded(self) -> bytes:
        (one,) = self.store.pictures([(self.shard, self.offset, self.length, self.crc32)])
        return one.read_encoded()

    def read(self) -> Image:
        return decode_image(self.read_encoded(), name=self.name)


def _is_refused(error: Exception) -> bool:
    """Whether asking again is in vain."""
    # aiohttp's errors have a status, gcsfs's a code; s3fs raises PermissionError.
    status = error.status if hasattr(error, "status") else getattr(error, "code", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in PASSING
    return refused or isinstance(error, PermissionError)


def _options(kind: str) -> dict[str, Any]:
    """What fsspec's file system of this kind is told."""
    if not kind.startswith("http"):
        return {}
    aiohttp = require("aiohttp", extra="remote")
    # Its own limit is five minutes for a whole file, which a large table takes longer than.
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
    return {"client_kwargs": {"timeout": limits}}


def cache() -> Path:
    """The folder of this machine's copies; the user may delete it at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "asmnet-kit"


def remote_table(
    url: str, read_index: Callable[[bytes, str], dict[str, Any]]
) -> tuple[FaceTable, dict[str, Any]]:
    """The faces of a prepared data set on a server, and its ``dataset.json``.

    Args:
        read_index: checks and parses the content of ``dataset.json``; its second argument is where.

    Raises:
        DatasetError: it is none, or one without a table.
        ServerError: there is none, or it cannot be reached.
    """
    store = RemoteStore.open(url)
    index = read_index(store.read("dataset.json"), store.place("dataset.json"))
    entry = index.get("table")
    if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), dict):
        raise DatasetError(
            f"{url}: its dataset.json describes no table of labels: run data prepare again, with "
            "this version of asmnet-kit"
        )
    rows, names = (store.fetch(name, str(entry["sha256"].get(name))) for name in (ROWS, NAMES))
    return open_table(rows, names, index, where=url, store=store), index
