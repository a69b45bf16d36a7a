"""Reading files that come from outside: the one door for bytes, text, JSON, TOML and XML.

What is no regular file is refused before it is opened: a named pipe would wait for ever, a device
may never end. So is what is larger than the kind of file can be. Every refusal is an OSError with a
file name and words, which callers treat as any other file that cannot be read.
"""

import codecs
import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from asmnet_kit.base.kinds import HEAD_BYTES, known_binary

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

# The largest files that are read whole, bytes. Parsed, JSON takes 30 times its size at worst.
MAX_BYTES = 2**29  # a picture, an array, an annotation
MAX_MODEL_BYTES = 2**30
MAX_TEXT_BYTES = 2**26
MAX_JSON_BYTES = 2**24
MAX_TOML_BYTES = 2**20
# Label files hold a whole data set: 20,000 faces of 106 points are 60 MB of JSON.
MAX_LABELS_BYTES = 2**27
MAX_LINE_BYTES = 2**24  # of a list or of lines of JSON: a crowd of faces takes less
MAX_KEY_DOTS = 32  # of TOML
MAX_PARSED_BYTES = 1_500_000_000  # what a JSON file may take in memory, at worst
MAX_XML_DEPTH = 32
MAX_XML_ELEMENTS = 100_000  # of one record: a face of 106 points has 110

LATIN_1 = "asmnet_kit.latin-1"  # an error handler: a byte that is no UTF-8 is one of Latin-1

# A dot beside no other, unless it stands in a decimal: 1.5, but not 1.5.1, which can be a key.
_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
# Where a key can begin: at its line, its table's brackets, or in an inline table.
_LONG_KEY = re.compile(
    rf"(?:^|[\[{{,])[ \t]*{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART}){{{MAX_KEY_DOTS + 1}}}"
)
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class Unreadable(OSError):
    """What is there but is never read: a pipe, a device, a file too large or of another kind."""


def open_file(path: Path, *, limit: int = MAX_BYTES) -> BinaryIO:
    """Open a regular file of at most ``limit`` bytes for reading.

    Raises:
        OSError: it cannot be opened.
        Unreadable: a pipe, device or socket, or a larger file.
    """
    try:
        _refuse_irregular(path.stat(), path, limit)
        # Between the look and the opening another file may take its place: never wait for it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise Unreadable(errno.EINVAL, f"no file has such a name ({error})", str(path)) from error
    try:
        _refuse_irregular(os.fstat(descriptor), path, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_irregular(status: os.stat_result, path: Path, limit: int) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        got = _KINDS.get(kind, "something else")
        raise Unreadable(errno.EINVAL, f"expected a file, got {got}", str(path))
    if status.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: Path, limit: int) -> Unreadable:
    return Unreadable(
        errno.EFBIG, f"expected at most {limit >> 20} MiB, got a larger file", str(path)
    )


def read_bytes(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """A whole regular file.

    Raises:
        OSError: as ``open_file``.
    """
    with open_file(path, limit=limit) as file:
        content = file.read(limit + 1)  # it may have grown, or say no size, as those of /proc do
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def open_text(path: Path, *, limit: int = MAX_BYTES, newline: str | None = None) -> TextIO:
    """Open a text that people edit: with or without byte order mark, UTF-8, 16, 32 or Latin-1.

    Args:
        newline: as for ``open``; by default every line ends in ``\\n``, whatever the file has.

    Raises:
        OSError: as ``open_file``.
        Unreadable: a file of a binary format, which is named.
    """
    file = open_file(path, limit=limit)
    try:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        encoding = _encoding(head)
        binary = known_binary(head) if encoding == "utf-8-sig" else None
        if binary is not None:
            raise Unreadable(errno.EINVAL, f"expected a text file, got {binary}", str(path))
        return io.TextIOWrapper(file, encoding=encoding, errors=LATIN_1, newline=newline)
    except BaseException:
        file.close()
        raise


def read_text(path: Path, *, limit: int = MAX_TEXT_BYTES) -> str:
    """The whole of a text that people edit; see ``open_text``."""
    with open_text(path, limit=limit) as file:
        return file.read()


def _encoding(head: bytes) -> str:
    """By the byte order mark, which begins alike for two of them: the longer one first."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0 : len(head) & ~1 : 2], head[1::2]
    if even and all(even) and not any(odd):  # without a mark, as programs of Windows write
        return "utf-16-le"
    if odd and all(odd) and not any(even):
        return "utf-16-be"
    return "utf-8-sig"


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if "8" not in error.encoding:  # half a character at the end, or one of a pair
        return "\N{REPLACEMENT CHARACTER}", error.end
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(LATIN_1, _as_latin_1)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Each line with its end, as it arrives.

    Raises:
        ValueError: one of more than MAX_LINE_BYTES.
    """
    for line in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"expected lines of at most {MAX_LINE_BYTES >> 20} MiB, got a longer")
        yield line


def read_json(path: Path, *, limit: int = MAX_JSON_BYTES) -> Any:
    """The content of a JSON file.

    Args:
        limit: bytes; MAX_LABELS_BYTES for a file that may hold a whole data set's labels.

    Raises:
        OSError: as ``open_text``.
        ValueError: it is no JSON, or would take too much memory; in one line.
    """
    text = read_text(path, limit=limit)
    # Python's parser takes up to 64 bytes for an entry of a list, 250 for an object or its entry.
    entries = text.count("[") + text.count(",")
    if 64 * entries + 250 * (text.count("{") + text.count(":")) > MAX_PARSED_BYTES:
        raise ValueError(
            f"too many entries for {MAX_PARSED_BYTES / 1e9:g} GB of memory: split the file"
        )
    return parse_json(text)


def parse_json(text: str | bytes, **options: Any) -> Any:
    """What JSON says.

    Args:
        options: of ``json.loads``.

    Raises:
        ValueError: it is no JSON, or more than Python reads; in one line.
    """
    try:
        return json.loads(text, **options)
    except (ValueError, RecursionError) as error:
        raise _in_words(error) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; errors as for ``read_json``."""
    text = read_text(path, limit=MAX_TOML_BYTES)
    _refuse_long_keys(text)
    try:
        content: dict[str, Any] = tomllib.loads(text)
        _refuse_long_numbers(content)
        return content
    except (ValueError, RecursionError) as error:
        raise _in_words(error) from error


def read_xml(path: Path, record: str | tuple[str, ...], take: Callable[[Element], None]) -> None:
    """Give every outermost element called ``record`` of an XML file to ``take``, one at a time.

    ``record`` may be several names.

    Each is dropped before the next begins, so that a file takes little more memory than its text.
    A document type is refused, and with it every entity but XML's own five: none of the formats
    that are read has one, and entities can expand to gigabytes or name other files.

    Raises:
        OSError: as ``read_bytes``.
        ValueError: it is no XML, has a document type, is nested deeper than MAX_XML_DEPTH or has a
            record of more than MAX_XML_ELEMENTS elements; in one line.
    """
    parser = expat.ParserCreate()
    records = _Records(record, take)
    parser.StartElementHandler = records.start
    parser.EndElementHandler = records.end
    parser.CharacterDataHandler = records.data
    parser.StartDoctypeDeclHandler = records.refuse_document_type
    try:
        # In one piece: expat looks anew at all of a long token for each piece.
        parser.Parse(read_bytes(path, limit=MAX_LABELS_BYTES), True)
    except (expat.ExpatError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(f"expected XML: {error}") from error


class _Records:
    """Handlers of expat that build the records of a document and nothing else."""

    def __init__(self, record: str | tuple[str, ...], take: Callable[[Element], None]) -> None:
        self._records, self._take = (record,) if isinstance(record, str) else record, take
        self._record = ""  # the name of the one that is being built
        self._depth = 0
        self._builder: TreeBuilder | None = None
        self._began_at = 0  # depth of the record that is being built
        self._elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_XML_DEPTH:
            raise ValueError(f"expected elements nested at most {MAX_XML_DEPTH} deep")
        if self._builder is None and name in self._records:
            self._builder, self._began_at, self._elements = TreeBuilder(), self._depth, 0
            self._record = name
        if self._builder is not None:
            self._elements += 1
            if self._elements > MAX_XML_ELEMENTS:
                raise ValueError(
                    f"expected at most {MAX_XML_ELEMENTS} elements in one {self._record}"
                )
            self._builder.start(name, attributes)

    def end(self, name: str) -> None:
        if self._builder is not None:
            self._builder.end(name)
            if self._depth == self._began_at:
                built, self._builder = self._builder.close(), None
                self._take(built)
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def refuse_document_type(self, name: str, *_: object) -> None:
        raise ValueError(f"expected XML without a document type, got <!DOCTYPE {name[:40]}>")


def _refuse_long_keys(text: str) -> None:
    """Refuse keys such as a.a.a. ... before parsing: their time grows with the square of the parts.

    By line, since a key ends with its line; sentences of a text are no keys.
    """
    for line in text.split("\n"):
        if line.count(".") > MAX_KEY_DOTS and _LONG_KEY.search(line):
            raise ValueError(f"a key with more than {MAX_KEY_DOTS} dots: nested too deeply")


def _refuse_long_numbers(value: Any) -> None:
    """Refuse what TOML's 64 bits do not hold: a number in hexadecimal may be of any length."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_long_numbers(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a number has more than 64 bits")


def _in_words(error: ValueError | RecursionError) -> ValueError:
    """What a parser stumbled over, without advice to programmers."""
    if isinstance(error, RecursionError):
        return ValueError("nested too deeply")
    if "integer string conversion" in str(error):
        return ValueError("a number has more digits than Python reads")
    if isinstance(error, json.JSONDecodeError):
        read = error.doc.rstrip()
        if read and (error.pos >= len(read) or error.msg.startswith("Unterminated string")):
            lines = read.count("\n") + 1
            return ValueError("it is cut off" + (f" at line {lines}" if lines > 1 else ""))
        return ValueError(f"line {error.lineno}, column {error.colno} is not JSON")
    return error
