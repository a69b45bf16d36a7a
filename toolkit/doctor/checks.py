"""What works on this machine and, for what does not, why and what to do.

Every check is independent, changes nothing, needs no network and imports nothing heavy (TensorFlow
is looked up, not imported).
"""

import ctypes.util
import os
import platform
import runpy
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError
from asmnet_kit.base.install import install_command
from asmnet_kit.base.openers import open_stage
from asmnet_kit.machine.edgetpu_library import LIBEDGETPU_BUILDS
from asmnet_kit.machine.vulkan import (
    gpu_devices,
    software_vulkan,
    takes_software_vulkan,
    vulkan_drivers,
)

SCHEMA_VERSION = 1
OK, MISSING, BROKEN = "ok", "missing", "broken"

SUPPORTED_PYTHON = ((3, 10), (3, 14))
EDGETPU_PYTHON = (3, 11)  # tflite-runtime 2.14 has no wheels for later ones

# Packages that own the same folder cv2: with two of them the last installed wins.
OPENCV_PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
# Targets that tell of a model without their chip: what a line is called, and the package that does.
COMPILERS = {
    "ethosu": ("Arm Ethos-U: Vela", "ethos-u-vela"),
    "tflm": ("Microcontrollers: TFLM", "tflite-micro"),
    "npu": ("Phone NPUs: compiler", "ai-edge-litert"),
}
TRAIN_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "matplotlib")

OS_RELEASE = Path("/etc/os-release")
OLD_MESA = "bookworm"  # its Mesa 22.3.6 cannot run LiteRT's accelerator; 25.0 of its backports can
# USB vendor and product of a Coral accelerator, before and after it got its firmware.
CORAL_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
USB_DEVICES = Path("/sys/bus/usb/devices")
CORAL_PCIE = Path("/dev/apex_0")

CORAL_PACKAGES = (
    "curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg | sudo gpg --dearmor -o "
    "/usr/share/keyrings/coral.gpg && echo 'deb [signed-by=/usr/share/keyrings/coral.gpg] "
    "https://packages.cloud.google.com/apt coral-edgetpu-stable main' | sudo tee "
    "/etc/apt/sources.list.d/coral-edgetpu.list && sudo apt-get update && sudo apt-get install "
)
# In a checkout alone: the app is no part of the installed package.
ANDROID_TOOLS = Path(__file__).resolve().parents[2] / "android_demo" / "tools" / "programs.py"


@dataclass(frozen=True)
class Check:
    """One thing that works or not.

    Attributes:
        name: what was looked at.
        status: ``ok``, ``missing`` (an optional part that is not there; fine unless wanted) or
            ``broken`` (a part that the kit cannot do without is not there, or one is unusable).
        detail: what was found, or why it does not work.
        needed_for: what does not work without it.
        fix: what to do; empty where it works.
    """

    name: str
    status: str
    detail: str
    needed_for: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The state of a machine: ``checks`` in the order a new user meets them."""

    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "kit_version": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "checks": [asdict(check) for check in self.checks],
        }


def diagnose(devices: Path | None = None) -> Diagnosis:
    """Look at everything the kit can use.

    Args:
        devices: a file that names devices, which are looked at, too.

    Raises:
        UsageError: it names none.
    """
    own = (check() for check in CHECKS)
    shelf = [] if devices is None else check_devices(devices)
    return Diagnosis((*own, *check_browser(), *check_targets_of_others(), *shelf))


def check_python() -> Check:
    lowest, highest = SUPPORTED_PYTHON
    span = f"{lowest[0]}.{lowest[1]} to {highest[0]}.{highest[1]}"
    found = platform.python_version()
    if lowest <= sys.version_info[:2] <= highest:
        return Check("Python", OK, found, "everything")
    return Check(
        "Python", BROKEN, f"{found}; the kit is tested on {span}", "everything",
        f"make a virtual environment with Python {span}",
    )  # fmt: skip


def check_opencv() -> Check:
    name, needed_for = "OpenCV", "pictures"
    installed = [package for package in OPENCV_PACKAGES if _version(package)]
    headless = "pip install --force-reinstall opencv-python-headless"
    if len(installed) > 1:
        return Check(
            name, BROKEN, f"{' and '.join(installed)} overwrite each other's files", needed_for,
            f"pip uninstall -y {' '.join(installed)} && {headless}",
        )  # fmt: skip
    try:
        import cv2
    except ImportError as error:
        # opencv-python links the libraries of a desktop; the message names the first it misses.
        without = f"pip uninstall -y {installed[0]} && " if installed else ""
        return Check(name, BROKEN, str(error), needed_for, without + headless)
    return Check(name, OK, f"{installed[0] if installed else 'cv2'} {cv2.__version__}", needed_for)


def check_runtime() -> Check:
    """Runs a network that ships with the kit."""
    name, needed_for = "CPU runtime", "--target cpu, predict, evaluating a .tflite"
    try:
        import numpy as np

        from asmnet_kit.predict.blazeface import SHORT_RANGE
        from asmnet_kit.tflite.runtime import open_runtime

        runtime = open_runtime(SHORT_RANGE.path)
        runtime.run({key: np.zeros(info.shape, info.dtype) for key, info in runtime.inputs.items()})
    except (ImportError, KitError) as error:
        fix = "pip install --force-reinstall ai-edge-litert"
        return Check(name, BROKEN, str(error), needed_for, fix)
    return Check(name, OK, f"{runtime.name} {runtime.version}, {runtime.kernels}", needed_for)


def check_detector() -> Check:
    """Looks for faces in a grey picture: there are none."""
    name, needed_for = "face detector", "predict without --box"
    try:
        import numpy as np

        from asmnet_kit.predict.detector import detect_faces

        found = detect_faces(np.full((128, 128, 3), 128, np.uint8))
    except (ImportError, KitError) as error:
        return Check(name, BROKEN, str(error), needed_for, "fix the problems above first")
    if found:
        return Check(
            name, BROKEN, f"sees {len(found)} faces in a grey picture", needed_for,
            install_command(pip="pip install --force-reinstall") + " ai-edge-litert",
        )  # fmt: skip
    return Check(name, OK, "BlazeFace, ships with the kit", needed_for)


def check_training() -> Check:
    name, needed_for = "TensorFlow", "train, quantize, quickstart"
    missing = [package for package in TRAIN_PACKAGES if not _version(package)]
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        return Check(name, MISSING, detail, needed_for, install_command("train"))
    return Check(name, OK, f"TensorFlow {_version('tensorflow')} with tf-keras", needed_for)


def check_tflite_runtime() -> Check:
    name, needed_for = "Edge TPU: tflite-runtime", "--target edgetpu"
    found = _version("tflite-runtime")
    if found:
        return Check(name, OK, found, needed_for)
    latest = ".".join(map(str, EDGETPU_PYTHON))
    in_coral = install_command("edgetpu", pip="coral/bin/pip install")
    if sys.version_info[:2] > EDGETPU_PYTHON:
        return Check(
            name, MISSING, f"has no wheel for Python {platform.python_version()}", needed_for,
            f"python{latest} -m venv coral && {in_coral}",
        )  # fmt: skip
    return Check(
        name, MISSING, "not installed; it needs numpy < 2, so give it its own environment",
        needed_for, f"python -m venv coral && {in_coral}",
    )  # fmt: skip


def check_edgetpu_library() -> Check:
    name, needed_for = "Edge TPU: libedgetpu", "--target edgetpu"
    found = ctypes.util.find_library("edgetpu")
    if found:
        return Check(name, OK, found, needed_for)
    return Check(
        name, MISSING, f"no libedgetpu.so.1 on the library path. {LIBEDGETPU_BUILDS}", needed_for,
        f"a .deb of github.com/feranick/libedgetpu/releases, or Google's own: "
        f"{CORAL_PACKAGES}libedgetpu1-std",
    )  # fmt: skip


def check_edgetpu_device() -> Check:
    name, needed_for = "Edge TPU: device", "--target edgetpu"
    if CORAL_PCIE.exists():
        return Check(name, OK, f"PCIe, {CORAL_PCIE}", needed_for)
    if CORAL_USB_IDS & set(_usb_ids(USB_DEVICES)):
        return Check(name, OK, "USB", needed_for)
    return Check(
        name, MISSING, "no Coral accelerator on USB or PCIe", needed_for,
        "plug one in; USB: sudo usermod -aG plugdev $USER, then log in again; PCIe: sudo apt-get "
        "install gasket-dkms (Coral's packages); docker run --device /dev/bus/usb or /dev/apex_0",
    )  # fmt: skip


def check_edgetpu_compiler() -> Check:
    name, needed_for = "Edge TPU: compiler", "compiling for --target edgetpu"
    told = os.environ.get("EDGETPU_COMPILER")
    if told and shutil.which(told) is None:
        return Check(
            name, BROKEN, f"EDGETPU_COMPILER={told} is no program", needed_for,
            "set it to the path of edgetpu_compiler, or unset it",
        )  # fmt: skip
    found = shutil.which(told or "edgetpu_compiler")
    if found:
        return Check(name, OK, found, needed_for)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Check(
            name, MISSING, f"exists for x86-64 Linux only, this is {platform.machine()}",
            needed_for, "compile on another machine, then benchmark MODEL --edgetpu-model FILE",
        )  # fmt: skip
    return Check(
        name, MISSING, "edgetpu_compiler is not on the PATH", needed_for,
        f"{CORAL_PACKAGES}edgetpu-compiler",
    )  # fmt: skip


def check_gpu() -> Check:
    """The GPU delegate of ai-edge-litert runs on Vulkan: a loader and at least one driver."""
    name, needed_for = "GPU: Vulkan", "--target gpu"
    if platform.system() == "Darwin":
        return Check(name, MISSING, "macOS has Metal, not Vulkan", needed_for, "use --target cpu")
    backports = " -t bookworm-backports" if _is_old_mesa() else ""
    install = (
        f"with a GPU: sudo apt-get install{backports} libvulkan1 mesa-vulkan-drivers, or the GPU "
        f"vendor's driver; in software: sudo apt-get install libvulkan1 chromium-common"
    )
    software = software_vulkan()
    if ctypes.util.find_library("vulkan") is None and software is None:
        return Check(name, MISSING, "no libvulkan.so.1 on the library path", needed_for, install)
    drivers = vulkan_drivers()
    if not drivers and software is None:
        return Check(name, MISSING, "the Vulkan loader finds no driver", needed_for, install)
    if not _has_gpu_accelerator():
        return Check(
            name, MISSING, "this ai-edge-litert has no GPU accelerator", needed_for,
            "pip install --upgrade ai-edge-litert",
        )  # fmt: skip
    if takes_software_vulkan():
        return Check(name, OK, f"software only: SwiftShader in {software}, not a GPU", needed_for)
    seen = "" if gpu_devices() else "; no GPU's device file seen: software only"
    return Check(name, OK, f"drivers: {', '.join(drivers)}{seen}", needed_for)


def check_adb() -> Check:
    return _program("Android: adb", "adb", "ADB", "--target android", "adb")


def check_ssh() -> Check:
    return _program(
        "Linux boards: ssh", "ssh", "ASMNET_KIT_SSH", "--target linux", "openssh-client"
    )


def check_android_build() -> Check:
    """The programs of ``make android``, as its own tools list them."""
    name, needed_for = "Android: build tools", "make android"
    if not ANDROID_TOOLS.is_file():
        return Check(
            name, MISSING, "this is no checkout of the repository", needed_for,
            "work in a checkout; the app is no part of the installed package",
        )  # fmt: skip
    packages = runpy.run_path(str(ANDROID_TOOLS))["missing_programs"]()
    if packages:
        return Check(
            name, MISSING, f"programs of {', '.join(packages)} are not on the PATH", needed_for,
            f"sudo apt-get install --no-install-recommends {' '.join(packages)}",
        )  # fmt: skip
    return Check(name, OK, "all programs on the PATH; Maven brings the rest", needed_for)


def check_browser() -> list[Check]:
    """What ``share`` and ``--target browser`` need: they say it themselves."""
    return [
        Check(
            f"Browser: {need.name}",
            BROKEN if need.broken else MISSING if need.fix else OK,
            need.detail,
            need.needed_for,
            need.fix,
        )
        for need in open_stage("what the browser needs")()
    ]


def check_vela() -> Check:
    return _compiler("ethosu")


def check_tflm() -> Check:
    return _compiler("tflm")


def check_npu_compiler() -> Check:
    return _compiler("npu")


def check_targets_of_others() -> list[Check]:
    """The benchmark targets that other packages bring say themselves whether they work here."""
    found = []
    for target, problem in open_stage("targets of other packages")().items():
        name, needed_for = f"Target {target}", f"--target {target}"
        if problem is None:
            found.append(Check(name, OK, "works here, says its package", needed_for))
        else:
            found.append(Check(name, MISSING, "does not work here", needed_for, problem))
    return found


def check_devices(path: Path) -> list[Check]:
    """Each device of a file, on each of its targets.

    Raises:
        UsageError: the file names no devices.
    """
    return [
        Check(f"Device {name}: {target}", BROKEN if problem else OK, found or "not ready",
              f"benchmark --devices {path.name}", problem)
        for (name, target), (found, problem) in open_stage("devices of a file")(path).items()
    ]  # fmt: skip


def _compiler(target: str) -> Check:
    """As the target says itself of what it needs."""
    (name, package), needed_for = COMPILERS[target], f"check --target {target}"
    problem = open_stage("problem of a target")(target)
    if problem is not None:
        return Check(name, MISSING, "not usable here", needed_for, problem)
    found = _version(package)
    return Check(name, OK, f"{package} {found}" if found else "a program on the PATH", needed_for)


def _program(name: str, program: str, variable: str, needed_for: str, package: str) -> Check:
    """A program on the PATH, or the one that an environment variable names."""
    told = os.environ.get(variable)
    found = shutil.which(told or program)
    if found:
        return Check(name, OK, found, needed_for)
    if told:
        return Check(
            name, BROKEN, f"{variable}={told} is no program", needed_for,
            f"set it to the path of {program}, or unset it",
        )  # fmt: skip
    return Check(
        name,
        MISSING,
        f"{program} is not on the PATH",
        needed_for,
        f"sudo apt-get install {package}",
    )


CHECKS: tuple[Callable[[], Check], ...] = (
    check_python,
    check_opencv,
    check_runtime,
    check_detector,
    check_training,
    check_gpu,
    check_tflite_runtime,
    check_edgetpu_library,
    check_edgetpu_device,
    check_edgetpu_compiler,
    check_vela,
    check_tflm,
    check_npu_compiler,
    check_adb,
    check_android_build,
    check_ssh,
)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _usb_ids(devices: Path) -> Iterable[tuple[str, str]]:
    """(vendor, product) of what is plugged in; nothing on systems without /sys."""
    for vendor in devices.glob("*/idVendor"):
        try:
            product = vendor.with_name("idProduct").read_text().strip()
            yield vendor.read_text().strip(), product
        except OSError:  # unplugged while being read
            continue


def _is_old_mesa() -> bool:
    try:
        return f"VERSION_CODENAME={OLD_MESA}\n" in OS_RELEASE.read_text()
    except OSError:
        return False


def _has_gpu_accelerator() -> bool:
    try:
        files = distribution("ai-edge-litert").files or []
    except PackageNotFoundError:
        return False
    return any("GpuAccelerator" in file.name for file in files)
