"""LiteRT.js for the page: fetched once from the npm registry by its hash, and kept.

``python -m asmnet_kit.benchmarks.browser.litert_js`` (``make web``) writes the folder that the page
server serves. The files are the authors' own but for one line: the page has no bundler, so the
module's one import of another package becomes a relative path.
"""

import gzip
import hashlib
import io
import os
import sys
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.base.files import make_folder, real_home, write_bytes
from asmnet_kit.benchmarks.browser.packed import BROTLI, GZIP, brotli, packed

VERSION = "2.5.3"
REGISTRY = "https://registry.npmjs.org"
ENVIRONMENT = "ASMNET_KIT_LITERT_JS"  # a folder in place of the usual one
COMMAND = "python -m asmnet_kit.benchmarks.browser.litert_js"
HOW_TO_GET = f"{COMMAND} fetches it (11.8 MB)"
TIMEOUT_S = 120.0
MAX_PACKAGE_BYTES = 50_000_000

# One thread with relaxed SIMD; without, for Safari; threads. Each is a .js and a .wasm.
VARIANTS = ("litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal")
ENDINGS = {BROTLI: "br", GZIP: "gz"}  # of packed files
UTILS_IMPORT = (b'from "@litertjs/wasm-utils"', b'from "./wasm-utils.js"')
NOTICE = f"""LiteRT.js {VERSION} (@litertjs/core and @litertjs/wasm-utils on npm)
Copyright The LiteRT Authors. Licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
Source: https://github.com/google-ai-edge/LiteRT, litert/js
Changed: index.js imports "./wasm-utils.js" in place of "@litertjs/wasm-utils".
"""


@dataclass(frozen=True)
class Package:
    """A package of the npm registry, pinned: its address and the SHA-256 of its archive."""

    path: str
    sha256: str


CORE = Package(
    f"@litertjs/core/-/core-{VERSION}.tgz",
    "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd",
)
UTILS = Package(
    f"@litertjs/wasm-utils/-/wasm-utils-{VERSION}.tgz",
    "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7",
)


def default_folder() -> Path:
    """Where the files are kept: $ASMNET_KIT_LITERT_JS, or a folder in the user's cache."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or real_home("~/.cache")
    return Path(cache) / "asmnet-kit" / f"litertjs-{VERSION}"


def names() -> tuple[str, ...]:
    """The files that a page may ask for; those of WebAssembly are kept packed, as NAME.gz."""
    built = [f"{variant}{end}" for variant in VARIANTS for end in (".js", ".wasm")]
    return ("index.js", "wasm-utils.js", "NOTICE", *built)


def stored(name: str, encoding: str = GZIP) -> str:
    """The name of the file on the disk that holds ``name``."""
    return f"{name}.{ENDINGS[encoding]}" if name.endswith(".wasm") else name


def missing(folder: Path) -> bool:
    """Whether a file is not there: never fetched, or by another version of the kit."""
    return not all((folder / stored(name)).is_file() for name in names())


def pack_smaller(folder: Path) -> None:
    """Pack the WebAssembly by brotli too, where that is installed and has not been done."""
    if brotli() is None:
        return
    for name in names():
        place = folder / stored(name, BROTLI)
        if name.endswith(".wasm") and not place.is_file():
            print(f"packing {name} by brotli, half a minute ...", file=sys.stderr, flush=True)
            content = gzip.decompress((folder / stored(name)).read_bytes())
            write_bytes(place, packed(content, BROTLI, best=True))


def require(folder: Path) -> Path:
    """
    Raises:
        MissingDependency: LiteRT.js has not been fetched.
    """
    if missing(folder):
        raise MissingDependency(f"LiteRT.js {VERSION} is not in {folder}: {HOW_TO_GET}")
    return folder


def fetch(folder: Path, *, registry: str = REGISTRY) -> None:
    """Fetch both packages and write the files.

    Raises:
        KitError: the registry does not answer, or what it gave is not what was pinned.
    """
    core, utils = (_files(_archive(package, registry)) for package in (CORE, UTILS))
    index = core["package/dist/index.js"]
    if index.count(UTILS_IMPORT[0]) != 1:
        raise KitError(f"LiteRT.js {VERSION}: expected one import of @litertjs/wasm-utils")
    content = {
        "index.js": index.replace(*UTILS_IMPORT),
        "wasm-utils.js": utils["package/dist/index.js"],
        "NOTICE": NOTICE.encode(),
    }
    for variant in VARIANTS:
        content[f"{variant}.js"] = core[f"package/wasm/{variant}.js"]
        content[f"{variant}.wasm"] = packed(core[f"package/wasm/{variant}.wasm"], GZIP)
    make_folder(folder)
    for name, data in content.items():
        write_bytes(folder / stored(name), data)


def _archive(package: Package, registry: str) -> bytes:
    address = f"{registry}/{package.path}"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(MAX_PACKAGE_BYTES + 1)
    except (urllib.error.URLError, TimeoutError) as error:
        raise KitError(
            f"{address}: {getattr(error, 'reason', error)}; without a network copy the folder from "
            f"a machine that has it, and set ${ENVIRONMENT}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != package.sha256:
        raise KitError(
            f"{address}: expected the SHA-256 {package.sha256}, got {found}: something between "
            f"this machine and the registry changed the file"
        )
    return content


def _files(archive: bytes) -> dict[str, bytes]:
    """Name -> content of the plain files in a .tgz; nothing is unpacked to the disk."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                files[member.name] = file.read()
    return files


def main(place: Path, *, registry: str = REGISTRY) -> None:
    """Fetch and pack what ``place`` lacks, and print where it is."""
    try:
        if missing(place):
            print(f"fetching LiteRT.js {VERSION}, 11.8 MB ...", file=sys.stderr, flush=True)
            fetch(place, registry=registry)
        pack_smaller(place)
    except KitError as error:
        sys.exit(f"Error: {error}")
    print(place)


if __name__ == "__main__":
    main(default_folder())
