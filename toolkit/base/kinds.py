"""What the first bytes of a file say it is, in words for error messages."""

from collections.abc import Callable

HEAD_BYTES = 512  # that ``kind_of`` looks at

PLAYLIST = "a playlist of films"

# (offset, bytes there) -> what it is. The first match counts.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a BigTIFF picture"),
    (0, b"MM\0+", "a BigTIFF picture"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (8, b"WEBP", "a WebP picture"),
    (8, b"AVI ", "an AVI film"),
    (8, b"WAVE", "a WAV sound"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"\0\0\1\0", "a Windows icon"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (4, b"TFL3", "a .tflite model"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, MATLAB 7.3)"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"\x93NUMPY", "a NumPy array (.npy)"),
    (0, b"PK\x03\x04", "a ZIP archive (.zip, .npz, .keras)"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a Windows program"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (0, b"OggS", "an Ogg film or sound"),
    (0, b"FLV\x01", "a Flash film"),
    (0, b"\0\0\1\xba", "an MPEG film"),
    (0, b"\0\0\1\xb3", "an MPEG film"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media film"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"),
    (0, b"ffconcat ", PLAYLIST),
    (0, b"#EXTM3U", PLAYLIST),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x04", "a Python pickle"),
)

# The brand behind "ftyp" in the files of the ISO family.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"qt  ": "MOV",
    b"crx ": "CR3",
}
_OF_BRANDS = {
    "HEIC": "a HEIC picture",
    "AVIF": "an AVIF picture",
    "MOV": "a QuickTime film",
    "CR3": "a Canon raw picture",
}
_TS_PACKET, _TS_SYNC = 188, 0x47
_CONTROLS = frozenset(range(32)) - set(b"\t\n\v\f\r\x1a\x1b") | {127}


def kind_of(head: bytes) -> str:
    """What a file with these first bytes is: "a PNG picture", "an empty file", "text" ...

    Args:
        head: up to ``HEAD_BYTES`` bytes; all of a shorter file.
    """
    if not head:
        return "an empty file"
    known = known_binary(head)
    if known is not None:
        return known
    if not head.strip(b"\0"):
        return "a file that begins with zeros alone"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML text"
    return "text" if is_text(head) else f"a file that begins with {head[:8]!r}"


def is_text(head: bytes) -> bool:
    """Whether a file with these first bytes is text of any kind, HTML and XML included."""
    return known_binary(head) is None and not _CONTROLS & set(head)


def known_binary(head: bytes) -> str | None:
    """What a file of a known binary format is; None for text and for anything else."""
    for offset, signature, words in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return words
    for is_kind, words in _TESTS:
        if is_kind(head):
            return words
    if head[4:8] == b"ftyp":
        return _OF_BRANDS.get(_BRANDS.get(head[8:12], ""), "an MP4 film")
    return None


def iso_brands(head: bytes) -> set[str]:
    """Which of HEIC, AVIF, MOV ... a file of the ISO family says it can be read as."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(len(head), int.from_bytes(head[:4], "big"))
    words = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    return {_BRANDS[word] for word in words if word in _BRANDS}


def _is_transport_stream(head: bytes) -> bool:
    for start in (0, 4):  # .m2ts has a time stamp before each packet
        step = _TS_PACKET + start
        if len(head) > start + step and head[start] == head[start + step] == _TS_SYNC:
            return True
    return False


_TESTS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_transport_stream, "an MPEG transport stream (a film)"),
    (lambda head: head[:2] == b"BM" and head[6:10] == b"\0\0\0\0", "a BMP picture"),
    (lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()
     and len(head) > 2, "a PNM picture"),
)  # fmt: skip
