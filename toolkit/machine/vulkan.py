"""Vulkan on this machine: its drivers, and the software one that a browser brings."""

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

from asmnet_kit.base.reading import read_json

VULKAN_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # the second is the older name
VULKAN_DRIVER_FOLDERS = (
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
)
# What a GPU's kernel driver shows: DRM, NVIDIA, Mali, Adreno, Imagination, WSL.
GPU_DEVICES = (
    "/dev/dri/renderD*",
    "/dev/nvidia[0-9]*",
    "/dev/mali*",
    "/dev/kgsl-3d0",
    "/dev/pvr*",
    "/dev/dxg",
)
# Browsers bring SwiftShader, a Vulkan driver on the CPU, and beside it a Vulkan loader.
VULKAN_LOADER = "libvulkan.so.1"
SOFTWARE = "software GPU"  # what ran a model then, in a result
# How adapters that compute on the CPU call themselves.
SOFTWARE_SIGNS = (
    "swiftshader", "llvmpipe", "lavapipe", "softwar", "basic render", "adaptertype=cpu",
)  # fmt: skip
SOFTWARE_VULKAN_DRIVER = "vk_swiftshader_icd.json"
BROWSER_FOLDERS = (
    Path("/usr/lib/chromium"),
    Path("/usr/lib/chromium-browser"),
    Path("/usr/lib64/chromium-browser"),
    Path("/opt/google/chrome"),
    Path("/opt/chromium.org/chromium"),
)


def is_software(adapter: str) -> bool:
    """Is this adapter, by its name, no GPU but a driver on the CPU?"""
    return any(sign in adapter.lower() for sign in SOFTWARE_SIGNS)


def vulkan_manifests() -> list[Path]:
    """The driver manifests that the Vulkan loader would read: one .json for each driver."""
    told = next(filter(None, map(os.environ.get, VULKAN_VARIABLES)), None)
    if told:
        return [Path(part) for part in told.split(os.pathsep) if Path(part).is_file()]
    files = [file for folder in VULKAN_DRIVER_FOLDERS for file in Path(folder).glob("*.json")]
    return sorted(files, key=lambda file: file.stem)


def vulkan_drivers() -> list[str]:
    """Names of the driver manifests that the Vulkan loader would read."""
    return [file.stem for file in vulkan_manifests()]


def gpu_devices() -> list[Path]:
    """Device files of GPUs; none on a machine without any."""
    patterns = [Path(pattern) for pattern in GPU_DEVICES]
    return [path for pattern in patterns for path in pattern.parent.glob(pattern.name)]


def takes_software_vulkan() -> bool:
    """Will the target ``gpu`` take the browser's SwiftShader?

    Where there is no other driver, and where there is no GPU for one: the system's driver would
    then be software, too, and that of Debian 12 is too old. A driver that was told is taken.
    """
    if software_vulkan() is None:
        return False
    told = any(os.environ.get(variable) for variable in VULKAN_VARIABLES)
    return not vulkan_drivers() or not (told or gpu_devices())


def software_vulkan() -> Path | None:
    """A browser's folder with SwiftShader and, where the system has none, a Vulkan loader."""
    needs_loader = ctypes.util.find_library("vulkan") is None
    for folder in BROWSER_FOLDERS:
        if (folder / SOFTWARE_VULKAN_DRIVER).is_file():
            if needs_loader and not (folder / VULKAN_LOADER).is_file():
                continue
            return folder
    return None


def use_software_where_needed() -> None:
    """Without a GPU or any Vulkan driver for it, take the software one that a browser brings.

    The loader reads the variable when it is loaded, and a library that is loaded already is found
    by its name, so a loader beside the driver serves where the system has none.
    """
    folder = software_vulkan()
    if folder is not None and takes_software_vulkan():
        for variable in VULKAN_VARIABLES:
            os.environ[variable] = str(folder / SOFTWARE_VULKAN_DRIVER)
    if ctypes.util.find_library("vulkan") is None and folder is not None:
        loader = folder / VULKAN_LOADER
        if loader.is_file():
            ctypes.CDLL(str(loader), mode=ctypes.RTLD_GLOBAL)


def loaded_drivers() -> list[str]:
    """File names of the Vulkan drivers that are loaded into this process.

    A driver is what a manifest names as its library; the linker is asked whether it has that one
    already, so links and whatever a vendor calls its files do not matter.
    """
    named = {library for file in vulkan_manifests() if (library := _driver_library(file))}
    return sorted(Path(library).name for library in named if _is_loaded(library))


def _driver_library(manifest: Path) -> str | None:
    """What to load for a manifest: a path, or a name that the linker looks for."""
    try:
        library = read_json(manifest)["ICD"]["library_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the Vulkan loader leaves it out, too
    if not isinstance(library, str):
        return None
    return library if os.sep not in library else str(manifest.parent / library)


def _is_loaded(library: str) -> bool:
    if sys.platform == "win32":  # LiteRT's accelerator is not made for it
        return False
    try:
        ctypes.CDLL(library, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True
