"""What share and --target browser need, and whether it is here: for the doctor."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks.browser import chromium, litert_js

EXTRA = {  # package of the extra [web] -> what it is for
    "segno": "a code to scan",
    "brotli": "a page a third smaller",
}


@dataclass(frozen=True)
class Need:
    """``fix`` is empty where it is here; ``broken`` where what was told to be it is not."""

    name: str
    detail: str
    needed_for: str
    fix: str = ""
    broken: bool = False


def needs() -> Sequence[Need]:
    folder = litert_js.default_folder()
    found = chromium.program()
    share = "share, --target browser"
    name = f"LiteRT.js {litert_js.VERSION}"
    if litert_js.missing(folder):
        litert = Need(name, f"not in {folder}", share, litert_js.COMMAND)
    else:
        litert = Need(name, str(folder), share)
    told = os.environ.get(chromium.ENVIRONMENT)
    if found is not None:
        browser = Need("Chromium", found, "--target browser")
    elif told:
        browser = Need(
            "Chromium", f"{chromium.ENVIRONMENT}={told} is no program", "--target browser",
            "set it to the path of Chromium, or unset it", broken=True,
        )  # fmt: skip
    else:
        browser = Need(
            "Chromium", "none on the PATH", "--target browser", "sudo apt-get install chromium"
        )
    if shutil.which("openssl") is None:
        openssl = Need("openssl", "not on the PATH", "share --lan", "install openssl")
    else:
        openssl = Need("openssl", str(shutil.which("openssl")), "share --lan")
    lacking = [package for package in EXTRA if importlib.util.find_spec(package) is None]
    what = " and ".join(EXTRA[package] for package in lacking or EXTRA)
    extra = Need(
        "the extra web",
        f"not installed: {', '.join(lacking)}" if lacking else ", ".join(EXTRA),
        f"share: {what}",
        install_command("web") if lacking else "",
    )
    return (litert, browser, openssl, extra)
