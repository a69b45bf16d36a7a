"""One phone over adb: its programs, its files. What a phone answers is bytes, not yet believed."""

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.console import clean
from asmnet_kit.benchmarks.protocol import RemoteError, Unreachable
from asmnet_kit.benchmarks.targets.remote import hottest, run_tool, tail

PROGRAM = "adb"
ENVIRONMENT = "ADB"
COMMAND_TIMEOUT_S = 60.0
PUSH_TIMEOUT_S = 300.0
SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
HEADING = "List of devices"
# What adb itself says of a phone that was unplugged, is off or left the network.
GONE = re.compile(
    r"^(?:adb: |error: )+(?:device '.*' not found|device not found|device (?:is )?offline|"
    r"no devices|device unauthorized|closed|protocol fault)",
    re.MULTILINE,
)
# Where a hand would feel it, by which phones throttle; older phones tell the battery's alone.
SKIN = re.compile(r"Temperature\{mValue=(-?[\d.]+), mType=3\b")
SKIN_NOW = "Current temperatures from HAL"
BATTERY = re.compile(r"^\s*temperature: (-?\d+)\s*$", re.MULTILINE)  # tenths of a degree
STATES = {
    "unauthorized": "allow USB debugging on its screen",
    "offline": "plug it in again, or: adb reconnect",
    "no permissions": "allow the user to use it (udev rules), then: adb kill-server",
}


@dataclass(frozen=True)
class Phone:
    """One phone; every method may raise ``RemoteError``."""

    adb: str
    serial: str

    @classmethod
    def choose(cls, serial: str) -> "Phone":
        """The phone of that serial number, or the only one."""
        adb = adb_program()
        if adb is None:
            raise RemoteError(f"{PROGRAM} is not on the PATH")
        out, error, code = run_tool(
            [adb, "devices"], timeout_s=COMMAND_TIMEOUT_S, what="adb devices"
        )
        if code:
            raise Unreachable(f"adb devices failed: {tail(out, error)}")
        found = parse_devices(out.decode(errors="replace"))
        if serial and serial not in found:
            raise Unreachable(f"expected a phone {serial!r}, adb sees {', '.join(found) or 'none'}")
        ready = [name for name, state in found.items() if state == "device"]
        if not serial and len(ready) > 1:
            raise RemoteError(f"choose with --device one or more of {', '.join(ready)}")
        chosen = serial or next(iter(ready or found), "")
        if not chosen:
            raise RemoteError("adb sees no phone: plug one in and allow USB debugging")
        state = found[chosen]
        if not SERIAL.fullmatch(chosen):
            raise RemoteError(
                f"adb lists {chosen!r} ({state}), which it cannot be asked for by name"
            )
        if state != "device":
            cure = next((c for s, c in STATES.items() if state.startswith(s)), "adb reconnect")
            raise Unreachable(f"the phone {chosen} is {state}: {cure}")
        return cls(adb, chosen)

    def send(self, path: Path, there: str, *, what: str) -> None:
        """Copy a file to the phone."""
        out, error, code = self._adb(
            "push", str(path.absolute()), there, what=what, timeout_s=PUSH_TIMEOUT_S
        )
        if code:
            raise RemoteError(f"{self.serial}: {what}: it was not taken: {tail(out, error)}")

    def read(self, path: str, *, what: str, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes | None:
        """A JSON or tensor file of the phone's, or None while it is not there.

        The app's files appear whole or not at all.
        """
        out, _, code = self._adb("exec-out", "cat", path, what=what, timeout_s=timeout_s)
        # Old versions of adb give 0 for a missing file and cat's complaint on stdout.
        return out if code == 0 and out.lstrip().startswith(b"{") else None

    def read_binary(self, path: str, *, what: str) -> bytes | None:
        """Any file of the phone's, or None while it is not there."""
        _, _, code = self.shell("test", "-s", path, what=what)
        if code:
            return None
        out, error, code = self._adb("exec-out", "cat", path, what=what, timeout_s=PUSH_TIMEOUT_S)
        if code:
            raise RemoteError(f"{self.serial}: {what}: {tail(out, error)}")
        # Old versions of adb give 0 for a missing file and cat's complaint on stdout.
        return None if out.startswith(b"cat: ") else out

    def discard(self, *paths: str) -> None:
        """Remove files and folders; what fails here is no failure of the measurement."""
        try:
            self.shell("rm", "-rf", *paths, what="tidy up")
        except RemoteError:
            return

    def shell(self, *words: str, what: str) -> tuple[bytes, str, int]:
        """Run a program of the phone's: its stdout, its stderr and its exit code."""
        return self.run_line(" ".join(map(shlex.quote, words)), what=what)

    def run_line(
        self, line: str, *, what: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[bytes, str, int]:
        """The same with a line for the phone's shell."""
        return self._adb("shell", line, what=what, timeout_s=timeout_s)

    def has_app(self, package: str) -> tuple[bool, str]:
        """Whether an app is installed, and what the phone said."""
        out, error, _ = self._adb("shell", "pm", "path", package, what="look for the app")
        return out.strip().startswith(b"package:"), tail(out, error)

    def temperature(self) -> float | None:
        """Of its skin, else of its battery, degrees Celsius; None where it tells neither."""
        out, _, _ = self.run_line(
            "dumpsys thermalservice; dumpsys battery", what="read its temperature"
        )
        said = out.decode(errors="replace")
        now = said.rpartition(SKIN_NOW)[2]  # what it says before is of earlier
        skin = hottest(float(value) for value in SKIN.findall(now))
        return skin or hottest(int(value) / 10 for value in BATTERY.findall(said))

    def hardware(self) -> str:
        """The serial number of the phone itself, the same over USB and over the network."""
        out, _, _ = self.shell("getprop", "ro.serialno", what="read its serial number")
        said = out.decode(errors="replace").strip()
        return said if SERIAL.fullmatch(said) else self.serial

    def _adb(
        self, *words: str, what: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[bytes, str, int]:
        arguments = [self.adb, "-s", self.serial, *words]
        out, error, code = run_tool(arguments, timeout_s=timeout_s, what=f"{self.serial}: {what}")
        if code and GONE.search(error):
            raise Unreachable(f"{self.serial}: {what}: the phone is gone: {tail(error)}")
        return out, error, code


def parse_devices(text: str) -> dict[str, str]:
    """``adb devices``: serial -> state, of every line but the heading and the daemon's."""
    found = {}
    for raw in text.splitlines():
        line = clean(raw).strip()
        if not line or line.startswith(("*", HEADING)):
            continue
        serial, tab, state = line.partition("\t")
        if not tab:  # some versions and wrappers line them up with blanks
            serial, _, state = line.partition(" ")
        found[serial.strip()] = state.strip() or "in an unknown state"
    return found


def adb_program() -> str | None:
    """The path of adb, which $ADB may name; None where there is none."""
    return shutil.which(os.environ.get(ENVIRONMENT) or PROGRAM)
