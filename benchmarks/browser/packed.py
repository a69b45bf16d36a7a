"""Packs what the page loads: by brotli where its package is installed, else by gzip.

Brotli makes LiteRT.js a third smaller (1.98 MB in place of 2.84 MB). Browsers take it over https
and from localhost alone, so gzip is always there too.
"""

import gzip
from functools import lru_cache
from typing import Any

BROTLI, GZIP = "br", "gzip"  # as HTTP calls them, the smaller first
BEST, QUICK = 11, 9  # of brotli: 25 s and 2 s for LiteRT.js
WINDOW = 24  # the largest that browsers take: 16 MB
KEPT = 64  # packed files in memory


def brotli() -> Any | None:
    """The package ``brotli``, or None where it is not installed (extra ``[web]``)."""
    try:
        import brotli
    except ImportError:
        return None
    return brotli


def chosen_encoding(accepted: str) -> str | None:
    """The best of what a browser takes.

    Args:
        accepted: the header Accept-Encoding, ``gzip, deflate, br``.
    """
    offered = {part.strip().lower() for part in accepted.split(",")}
    if BROTLI in offered and brotli() is not None:
        return BROTLI
    return GZIP if GZIP in offered else None


@lru_cache(maxsize=KEPT)
def packed(content: bytes, encoding: str, *, best: bool = False) -> bytes:
    """
    Args:
        best: as small as it gets, however long it takes.
    """
    if encoding == GZIP:
        return gzip.compress(content, mtime=0)
    module = brotli()
    assert module is not None, "chosen_encoding offers brotli only where it is installed"
    made: bytes = module.compress(content, quality=BEST if best else QUICK, lgwin=WINDOW)
    return made
