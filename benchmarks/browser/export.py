"""The page as files for any static host: what it measures is downloaded there, and read here.

Such a host sends no headers of the kit's: the page has its policy in itself, and no threads.
"""

import gzip
import json
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import is_unused, make_folder, write_bytes
from asmnet_kit.benchmarks.browser import litert_js
from asmnet_kit.benchmarks.browser.server import LITERT, PAGE, POLICY, Content, page_file

HEAD = b'<meta charset="utf-8">'
ONLY_IN_HEADERS = "frame-ancestors"  # browsers ignore it in a page, and complain


def export(content: Content, folder: Path) -> int:
    """Write the page, its models and LiteRT.js; the bytes written.

    Raises:
        UsageError: ``folder`` holds something already.
    """
    if not is_unused(folder):
        raise UsageError(f"{folder}: expected a new or empty folder for the page")
    policy = "; ".join(one for one in POLICY.split("; ") if not one.startswith(ONLY_IN_HEADERS))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'.encode()
    files = {name: page_file(name) for name, _ in PAGE.values()}
    files["index.html"] = files["index.html"].replace(HEAD, HEAD + b"\n" + meta, 1)
    files["job.json"] = json.dumps(content.job).encode()
    files |= {f"blob/{name}": data for name, data in content.blobs.items()}
    for name in litert_js.names():
        stored = (content.litert / litert_js.stored(name)).read_bytes()
        unpacked = gzip.decompress(stored) if name.endswith(".wasm") else stored
        files[f"{LITERT.strip('/')}/{name}"] = unpacked
    for name, data in files.items():
        make_folder((folder / name).parent)
        write_bytes(folder / name, data, durable=False)
    return sum(map(len, files.values()))
