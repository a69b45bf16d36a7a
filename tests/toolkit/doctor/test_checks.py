"""``asmnet-kit doctor``: tells the truth about this machine and, for faults, how to mend them."""

import json
import sys

import pytest
from click.testing import CliRunner

from asmnet_kit.base.install import install_command
from asmnet_kit.cli import main
from asmnet_kit.doctor import checks
from asmnet_kit.machine import vulkan

BASE = ("Python", "OpenCV", "CPU runtime", "face detector")


def test_everything_the_base_install_needs_works_here():
    """These tests run in such an installation."""
    found = {check.name: check for check in checks.diagnose().checks}
    assert [found[name].status for name in BASE] == ["ok"] * 4


def test_every_check_that_is_not_ok_says_what_to_do():
    for check in checks.diagnose().checks:
        assert check.status in (checks.OK, checks.MISSING, checks.BROKEN)
        assert check.detail and check.needed_for
        assert bool(check.fix) == (check.status != checks.OK)


def test_json_is_alone_on_stdout():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["schema_version"] == 1
    assert {"name", "status", "detail", "needed_for", "fix"} == set(found["checks"][0])
    told = {check["needed_for"] for check in found["checks"]}
    assert told >= {f"check --target {target}" for target in ("ethosu", "tflm", "npu")}
    assert "Next: " in result.stderr


def test_the_table_shows_each_check_and_the_next_step():
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    for check in checks.diagnose().checks:
        assert check.name in result.stdout
    assert "Next: " in result.stderr


def test_without_tensorflow_the_next_step_is_to_install_it(monkeypatch):
    """quickstart would train."""
    monkeypatch.setattr(checks, "TRAIN_PACKAGES", ("no-such-package",))
    result = CliRunner().invoke(main, ["doctor"])
    assert f"Next: {install_command('train')}" in result.stderr


def test_an_opencv_that_cannot_be_imported_is_broken_and_the_kit_still_answers(monkeypatch):
    """As opencv-python does on a machine without a desktop: an ImportError that names libGL."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    check = checks.check_opencv()
    assert check.status == checks.BROKEN
    assert "opencv-python-headless" in check.fix
    assert checks.check_python().status == checks.OK


def test_two_opencv_packages_are_broken(monkeypatch):
    monkeypatch.setattr(checks, "_version", lambda package: "4.11")
    check = checks.check_opencv()
    assert check.status == checks.BROKEN
    assert check.fix.startswith("pip uninstall -y opencv-python opencv-python-headless")


def test_missing_training_packages_are_named(monkeypatch):
    monkeypatch.setattr(checks, "_version", lambda package: None)
    check = checks.check_training()
    assert check.status == checks.MISSING
    assert "tensorflow" in check.detail
    assert check.fix == install_command("train")


@pytest.mark.parametrize(("python", "command"), [((3, 12), "python3.11"), ((3, 11), "python -m")])
def test_the_coral_runtime_asks_for_a_python_that_has_it(monkeypatch, python, command):
    monkeypatch.setattr(checks, "_version", lambda package: None)
    monkeypatch.setattr(sys, "version_info", (*python, 0, "final", 0))
    assert checks.check_tflite_runtime().fix.startswith(command)


def test_a_coral_stick_is_known_by_its_usb_ids(monkeypatch, tmp_path):
    for folder, vendor, product in (("1-1", "1d6b", "0002"), ("1-2", "18d1", "9302")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "idVendor").write_text(f"{vendor}\n")
        (tmp_path / folder / "idProduct").write_text(f"{product}\n")
    monkeypatch.setattr(checks, "CORAL_PCIE", tmp_path / "apex_0")
    monkeypatch.setattr(checks, "USB_DEVICES", tmp_path)
    assert checks.check_edgetpu_device().status == checks.OK
    monkeypatch.setattr(checks, "USB_DEVICES", tmp_path / "none")
    assert checks.check_edgetpu_device().status == checks.MISSING


def test_the_compiler_is_found_by_the_variable_then_the_path(monkeypatch, tmp_path):
    program = tmp_path / "edgetpu_compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)
    assert checks.check_edgetpu_compiler().detail == str(program)
    monkeypatch.setenv("EDGETPU_COMPILER", str(tmp_path / "gone"))
    assert checks.check_edgetpu_compiler().status == checks.BROKEN


def test_vulkan_needs_a_driver_besides_its_loader(monkeypatch, tmp_path):
    monkeypatch.setattr(vulkan.ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    monkeypatch.setattr(checks.platform, "system", lambda: "Linux")
    monkeypatch.setattr(vulkan, "VULKAN_DRIVER_FOLDERS", (str(tmp_path),))
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(vulkan, "BROWSER_FOLDERS", ())
    assert "no driver" in checks.check_gpu().detail
    (tmp_path / "browser").mkdir()
    (tmp_path / "browser" / "vk_swiftshader_icd.json").write_text("{}")
    monkeypatch.setattr(vulkan, "BROWSER_FOLDERS", (tmp_path / "browser",))
    assert checks.check_gpu().detail.startswith("software only: SwiftShader")
    (tmp_path / "lvp_icd.x86_64.json").write_text("{}")
    (tmp_path / "renderD128").touch()
    monkeypatch.setattr(vulkan, "GPU_DEVICES", (str(tmp_path / "renderD*"),))
    assert checks.check_gpu().detail == "drivers: lvp_icd.x86_64"


def test_without_a_gpu_the_browsers_driver_is_taken_though_mesas_is_installed(
    monkeypatch, tmp_path
):
    """mesa-vulkan-drivers brings a software driver, which on Debian 12 is too old for LiteRT."""
    for name in vulkan.VULKAN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(vulkan.ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    monkeypatch.setattr(vulkan, "VULKAN_DRIVER_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(vulkan, "BROWSER_FOLDERS", (tmp_path / "browser",))
    monkeypatch.setattr(vulkan, "GPU_DEVICES", (str(tmp_path / "renderD*"),))
    mesa = tmp_path / "lvp_icd.x86_64.json"
    mesa.write_text("{}")
    assert "no GPU's device file seen" in checks.check_gpu().detail
    (tmp_path / "browser").mkdir()
    (tmp_path / "browser" / "vk_swiftshader_icd.json").write_text("{}")
    assert vulkan.takes_software_vulkan()
    assert checks.check_gpu().detail.startswith("software only: SwiftShader")
    monkeypatch.setenv("VK_DRIVER_FILES", str(mesa))
    assert not vulkan.takes_software_vulkan()


@pytest.mark.parametrize(("release", "old"), [("bookworm", True), ("trixie", False)])
def test_debian_12_gets_mesa_from_its_backports(monkeypatch, tmp_path, release, old):
    monkeypatch.setattr(checks, "OS_RELEASE", tmp_path / "os-release")
    checks.OS_RELEASE.write_text(f"ID=debian\nVERSION_CODENAME={release}\n")
    monkeypatch.setattr(vulkan.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(vulkan, "BROWSER_FOLDERS", ())
    assert ("-t bookworm-backports" in checks.check_gpu().fix) == old


@pytest.mark.parametrize(
    ("check", "program", "variable", "package"),
    [
        (checks.check_adb, "adb", "ADB", "adb"),
        (checks.check_ssh, "ssh", "ASMNET_KIT_SSH", "openssh-client"),
    ],
)
def test_a_program_is_the_one_of_the_variable_or_on_the_path(
    monkeypatch, tmp_path, check, program, variable, package
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    assert (check().status, check().fix) == (checks.MISSING, f"sudo apt-get install {package}")
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    assert check().detail == str(tmp_path / program)
    monkeypatch.setenv(variable, str(tmp_path / "gone"))
    assert check().status == checks.BROKEN


def test_a_browser_that_a_variable_names_wrongly_is_broken_and_not_missing(monkeypatch, tmp_path):
    """As adb, ssh and the compiler are in that state."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROMIUM", "gone")
    found = {check.name: check for check in checks.check_browser()}["Browser: Chromium"]
    assert (found.status, found.fix) == (
        checks.BROKEN,
        "set it to the path of Chromium, or unset it",
    )
    assert found.detail == "CHROMIUM=gone is no program"
    monkeypatch.delenv("CHROMIUM")
    found = {check.name: check for check in checks.check_browser()}["Browser: Chromium"]
    assert found.status == checks.MISSING


def test_the_tools_of_the_app_are_those_its_own_list_names(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    check = checks.check_android_build()
    assert check.status == checks.MISSING
    assert "apksigner" in check.fix and "maven" in check.fix
    monkeypatch.setattr(checks, "ANDROID_TOOLS", tmp_path / "programs.py")
    assert "no checkout" in checks.check_android_build().detail


def test_what_coral_has_is_installed_by_commands(monkeypatch):
    monkeypatch.setattr(vulkan.ctypes.util, "find_library", lambda name: None)
    fix = checks.check_edgetpu_library().fix
    assert fix.endswith("sudo apt-get install libedgetpu1-std")
    assert fix.startswith("a .deb of github.com/feranick/libedgetpu/releases")  # Google's crashes


@pytest.mark.parametrize("target", ["ethosu", "tflm", "npu"])
def test_compilers_without_a_chip_have_a_line_that_says_how_to_get_them(monkeypatch, target):
    """A machine without any of them, and one with; the line's command is one that installs."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)  # importing it fails
    monkeypatch.setenv("PATH", "")
    line = checks._compiler(target)
    assert line.status == "missing"
    assert "pip install" in line.fix
    monkeypatch.setattr(checks, "open_stage", lambda name: lambda target: None)
    monkeypatch.setattr(checks, "version", lambda package: "1.2.3")
    found = checks._compiler(target)
    assert (found.status, found.detail.endswith(" 1.2.3"), found.fix) == ("ok", True, "")
