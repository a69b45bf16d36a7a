"""Ways to damage a file: each takes whole content and a random generator, and gives content.

Plain seeded mutation, and for each family of formats one that keeps the outer checks (checksums,
offsets, syntax) valid, so that the damage is met by the kit and not by the first line of a parser.
"""

import copy
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Damage = Callable[[bytes, Random], bytes]

# Numbers at the ends of what fields of 1, 2, 4 and 8 bytes can hold.
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
# What a number in a text may become.
NUMBERS = (
    *("0", "-1", "1e999", "-1e30", "1e39", "1e-320", "nan", "inf", "0x10", "1_000", "--5", "0.5"),
    *("99999999", "9" * 25, "9" * 5000, "1" + "0" * 400, "\N{ARABIC-INDIC DIGIT FIVE}"),
)
# What text may be disturbed with.
WORDS = (
    *("\ufeff", "\0", "\t", "\r", "\r\n", "\x1b[31m", '"', "'", ",", ";", "{", "[", "#", "=", "\\"),
    *("../", "/etc/passwd", "\u202e", "e\u0301", "\N{FACE WITH TEARS OF JOY}", "%s", "\u2028"),
)
# What a value of JSON may become: other types, and numbers at the ends of what floats can hold.
STRANGE = (
    *(None, True, -1, 0, 2**40, 1e308, 1e-320, 10**400, "", "\ud800", "x" * 10_000, [], {}),
    *([None], [1.5, "\ud800"], {"": {}}),
)
LARGEST_ARCHIVE = 1 << 28  # bytes, unpacked, of one that is damaged by its members
LONGEST_LINE = 1 << 22  # bytes, of lines that damage makes
DEEP = 100_000  # levels of nesting, beyond what any parser of Python takes


def _at(content: bytes | bytearray, random: Random) -> int:
    """A place in the content; every other one in the first 128 bytes, where headers are."""
    end = len(content) if random.random() < 0.5 else min(128, len(content))
    return random.randrange(end) if end else 0


# Bytes -------------------------------------------------------------------------------------------


def flipped(content: bytes, random: Random) -> bytes:
    """A few bits are others."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64)) if content else 0):
        changed[_at(changed, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut_off(content: bytes, random: Random) -> bytes:
    """The end is missing, or the beginning, or everything."""
    place = _at(content, random)
    return random.choice((content[:place], content[:place], content[place:], b""))


def spliced(content: bytes, random: Random) -> bytes:
    """A piece of it stands elsewhere, once more or instead of another."""
    start, place = _at(content, random), _at(content, random)
    piece = content[start : start + random.choice((1, 4, 16, 256, 4096))]
    replaced = random.choice((0, len(piece)))
    return content[:place] + piece + content[place + replaced :]


def lying(content: bytes, random: Random) -> bytes:
    """A field of 1, 2, 4 or 8 bytes holds an extreme number, or all ones, or a tiny float."""
    size = random.choice((1, 2, 4, 4, 8))
    place = _at(content, random)
    number = random.choice(EXTREMES) % 256**size
    field = number.to_bytes(size, random.choice(("little", "big")))
    if size == 4 and random.random() < 0.2:
        field = struct.pack("<f", random.choice((0.0, 1e-40, 3e38, -1.0, float("nan"))))
    return content[:place] + field + content[place + size :]


def stretched(content: bytes, random: Random) -> bytes:
    """Zeros or noise are put in, or stand at the end."""
    more = bytes(4096) if random.random() < 0.5 else random.randbytes(random.choice((1, 3, 999)))
    place = random.choice((_at(content, random), len(content)))
    return content[:place] + more + content[place:]


BYTES: tuple[Damage, ...] = (flipped, flipped, cut_off, spliced, lying, lying, stretched)


# Text --------------------------------------------------------------------------------------------


def _number_spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text)]


def another_number(content: bytes, random: Random) -> bytes:
    """A number is another, up to 5,000 digits."""
    text = content.decode("utf-8", "surrogateescape")
    spans = _number_spans(text)
    if not spans:
        return content
    start, end = random.choice(spans)
    text = text[:start] + random.choice(NUMBERS) + text[end:]
    return text.encode("utf-8", "surrogateescape")


def disturbed(content: bytes, random: Random) -> bytes:
    """A character or word that parsers stumble over is put in."""
    place = _at(content, random)
    word = random.choice(WORDS).encode()
    return content[:place] + word * random.choice((1, 1, 1, 300)) + content[place:]


def lines_moved(content: bytes, random: Random) -> bytes:
    """Lines are missing, twice, in another order, joined, or very long."""
    lines = content.split(b"\n")
    index, other = random.randrange(len(lines)), random.randrange(len(lines))
    way = random.randrange(5)
    if way == 0:
        del lines[index]
    elif way == 1:
        lines.insert(other, lines[index])
    elif way == 2:
        lines[index], lines[other] = lines[other], lines[index]
    elif way == 3:
        most = 1 + LONGEST_LINE // (len(lines[index]) + 1)
        lines[index] *= min(random.choice((2, 5000)), most)
    elif other != index:
        lines[index] += b" " + lines[other]
        del lines[other]
    return b"\n".join(lines)


def encoded_anew(content: bytes, random: Random) -> bytes:
    """Saved by another editor: another encoding, other line ends, other separators."""
    text = content.decode("utf-8", "replace")
    encoding = random.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp037"))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: text.encode(encoding, "replace"),
        lambda: text.replace("\n", random.choice(("\r\n", "\r"))).encode("utf-8", "replace"),
        lambda: text.replace(random.choice((" ", ",")), "\t").encode("utf-8", "replace"),
        lambda: text.replace(",", ";").encode("utf-8", "replace"),
        lambda: text.replace(".", ",").encode("utf-8", "replace"),
        lambda: ("# Andr\xe9\n" + text).encode("latin-1", "replace"),
    )
    return random.choice(ways)()


def nested(content: bytes, random: Random) -> bytes:
    """A value is nested deeper than any parser goes."""
    text = content.decode("utf-8", "replace")
    spans = _number_spans(text)
    start, end = random.choice(spans) if spans else (len(text), len(text))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}"), ("(", ")")))
    depth = random.choice((1000, DEEP))
    inner = opening * depth + text[start:end] + closing * depth
    return (text[:start] + inner + text[end:]).encode("utf-8", "replace")


TEXT: tuple[Damage, ...] = (
    *(another_number, another_number, disturbed, lines_moved, encoded_anew, nested),
    *(flipped, cut_off),
)


# JSON --------------------------------------------------------------------------------------------


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of some JSON is, as the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*place, key))


def strange_value(content: bytes, random: Random) -> bytes:
    """A value of some JSON is of another type, extreme, or missing."""
    try:
        damaged = copy.deepcopy(json.loads(content))
        found = list(places(damaged))
    except (ValueError, TypeError, RecursionError):  # damaged before
        return content
    if not found:
        return content
    *way, last = random.choice(found)
    part: Any = damaged
    for key in way:
        part = part[key]
    if random.random() < 0.2:
        del part[last]
    else:
        part[last] = random.choice(STRANGE)
    return json.dumps(damaged).encode()


JSON: tuple[Damage, ...] = (*(strange_value,) * 6, *TEXT)


# Archives ----------------------------------------------------------------------------------------

# A .npy header is a Python literal; these make it lie about what follows.
NPY_CLAIMS = (
    *(b"(4294967296,)", b"(100000000000,)", b"(-1,)", b"(3, 0, 99999999999)", b"(" + b"9" * 25),
    *(b"()", b"(True,)", b"(1.5,)", b"(2, 2", b"((((((", b"(1,) * 10**9", b"'x'"),
)
NPY_TYPES = (
    *(b"'|O'", b"'<U99999999'", b"'<f16'", b"'<M8[s]'", b"'<c16'", b"'>i2'", b"'|V0'", b"'zz'"),
)


def npy_lies(content: bytes, random: Random) -> bytes:
    """The header of a .npy claims another shape or type."""
    start, end = content.find(b"'shape': ") + 9, content.find(b"), }")
    if start < 9 or end < 0:
        return flipped(content, random)
    if random.random() < 0.6:
        return content[:start] + random.choice(NPY_CLAIMS) + content[end + 1 :]
    start = content.find(b"'descr': ") + 9
    end = content.find(b", ", start)
    return content[:start] + random.choice(NPY_TYPES) + content[end:]


def bomb(members: int, size_bytes: int) -> bytes:
    """A small archive that unpacks to ``members`` arrays of zeros of ``size_bytes`` each."""
    block = bytes(2**20)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    header = b"\x93NUMPY\x01\0v\0" + (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % size_bytes
    ).ljust(117)
    start = squeeze.compress(header + b"\n") + squeeze.flush(zlib.Z_FULL_FLUSH)
    zeros = squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)
    packed = start + zeros * (size_bytes >> 20) + squeeze.flush()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(members):
            archive.writestr(f"a{index}.npy", packed)
            about = archive.infolist()[-1]  # stored; the directory will say: deflated
            about.compress_type = zipfile.ZIP_DEFLATED
            about.file_size = len(header) + 1 + size_bytes
    content = bytearray(file.getvalue())
    for about in archive.infolist():  # and so must the header before each member
        content[about.header_offset + 8 : about.header_offset + 10] = b"\x08\0"
    return bytes(content)


def member_damaged(content: bytes, random: Random) -> bytes:
    """A member of an archive is damaged, missing, twice or a bomb; the archive itself is whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_ARCHIVE:
                return content  # a bomb already
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged before: zipfile raises a dozen kinds
        return content
    if not members:
        return content
    name = random.choice(sorted(members))
    kind = name.rpartition(".")[2]
    ways: dict[str, tuple[Damage, ...]] = {"npy": (npy_lies, npy_lies, *BYTES), "json": JSON}
    draw = random.random()
    if draw < 0.01:
        return bomb(1, 3 << 30)
    if draw < 0.1:
        del members[name]
    elif draw < 0.15:
        members[random.choice(("x.npy", "../x", "names.npy", "x"))] = members[name]
    else:
        members[name] = random.choice(ways.get(kind, BYTES))(members[name], random)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return file.getvalue()


ARCHIVE: tuple[Damage, ...] = (*(member_damaged,) * 6, *BYTES)


# Pictures ----------------------------------------------------------------------------------------

SIDES = (0, 1, 2, 3, 20_000, 32_767, 32_768, 65_535, 2**20, 2**20 + 1, 2**31 - 1, 2**32 - 1)


def sides_lie(content: bytes, random: Random) -> bytes:
    """The header of a PNG, JPEG or BMP claims another width and height; checksums are right."""
    sides = random.choice(SIDES), random.choice(SIDES)
    if content[:4] == b"\x89PNG" and len(content) > 33:
        header = b"IHDR" + struct.pack(">2I", *sides) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    if content[:2] == b"\xff\xd8":
        place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        if place >= 0:
            claimed = struct.pack(">2H", *(side % 2**16 for side in sides))
            return content[: place + 5] + claimed + content[place + 9 :]
    if content[:2] == b"BM":
        return content[:18] + struct.pack("<2I", *sides) + content[26:]
    return lying(content, random)


PICTURE: tuple[Damage, ...] = (*BYTES, sides_lie, sides_lie)


# Models ------------------------------------------------------------------------------------------


def model_changed(content: bytes, random: Random) -> bytes:
    """A value somewhere in a .tflite's tables is another; all offsets are right."""
    from ai_edge_litert import schema_py_generated as schema

    from asmnet_kit.tflite.packing import pack_model

    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        graph = model.subgraphs[0]
        table = random.choice(
            (
                *(random.choice(graph.tensors), random.choice(graph.operators)) * 3,
                *(graph, model, random.choice(model.operatorCodes)),
            )
        )
        if random.random() < 0.4:  # what stands inside: options, quantization
            inner = [v for v in vars(table).values() if hasattr(v, "__dict__")]
            table = random.choice(inner) if inner else table
        _change_a_field(table, random)
        return pack_model(model)
    except Exception:  # flatbuffers refuses to write some values; damaged before
        return lying(content, random)


def metadata_changed(content: bytes, random: Random) -> bytes:
    """The kit's metadata in a .tflite is damaged; the model around it is whole."""
    from asmnet_kit.base.errors import ModelError
    from asmnet_kit.tflite.metadata import METADATA_NAME
    from asmnet_kit.tflite.packing import with_entry
    from asmnet_kit.tflite.reader import graph_of

    try:
        about = graph_of(content, name="model").metadata[METADATA_NAME]
        return with_entry(content, METADATA_NAME, random.choice(JSON)(bytes(about), random))
    except (ModelError, KeyError):  # damaged before
        return lying(content, random)


def _change_a_field(table: Any, random: Random) -> None:
    name = random.choice(sorted(vars(table)))
    value = getattr(table, name)
    numbers = (-1, 0, 1, 2, 3, 7, 127, 255, 32_767, 2**31 - 1)
    if isinstance(value, bool):
        setattr(table, name, not value)
    elif isinstance(value, int):
        setattr(table, name, random.choice(numbers))
    elif isinstance(value, float):
        setattr(table, name, random.choice((0.0, 1e-40, 3e38, -1.0, float("nan"), float("inf"))))
    elif value is not None and hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
        values = list(value)
        way = random.randrange(4)
        if way == 0 or not values:
            values = values[: random.randrange(len(values) + 1)]
        elif way == 1:
            values = values * random.choice((2, 12))
        elif way == 2:
            random.shuffle(values)
        elif isinstance(values[0], float) or type(values[0]).__name__ == "float32":
            values[random.randrange(len(values))] = random.choice((0.0, 1e-40, 3e38, -1.0))
        elif not hasattr(values[0], "__dict__"):
            values[random.randrange(len(values))] = random.choice(numbers)
        setattr(table, name, values)
    else:
        setattr(table, name, None)


MODEL: tuple[Damage, ...] = (*(model_changed,) * 7, *BYTES)


def damaged(content: bytes, ways: tuple[Damage, ...], random: Random) -> bytes:
    """Content with one, two or three damages of ``ways``."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(ways)(content, random)
    return content


# Folders -----------------------------------------------------------------------------------------

# What may lie in a folder: (kind, name). ``child`` puts it there.
NAMES = (
    *("face_000000.jpg", "face_000000.pts", "face_000009.jpg", "face_000009.pts", "labels.csv"),
    *("x.json", "dataset.json", "a\nb.jpg", "[red]x[/red].jpg", "cafe\u0301.jpg"),
    "x" * 250 + ".jpg",
    *("-rf.jpg", "\udcff\udcfe.jpg", "\udce9.pts", "sub", ".hidden.jpg", "~x.jpg", "%s.jpg"),
)
TRICKS = (
    *("pipe", "link to itself", "link to nothing", "link to /dev/zero", "link upwards", "folder"),
    *("socket", "empty", "zeros", "a copy", "nothing"),
)


def trick_added(content: bytes, random: Random) -> bytes:
    """One more strange thing in a list of them, JSON: [[what, name] ...]."""
    one_more = [random.choice(TRICKS), random.choice(NAMES)]
    return json.dumps([*json.loads(content), one_more]).encode()
