"""Which CPU this is, by the text of /proc/cpuinfo."""

import platform
import re
from pathlib import Path

# Instruction sets that int8 and float kernels choose their code by: flag of /proc/cpuinfo -> name.
X86_FLAGS = {
    "sse4_1": "sse4.1",
    "avx": "avx",
    "f16c": "f16c",
    "fma": "fma",
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx_vnni_int8": "avx_vnni_int8",
    "avx512_fp16": "avx512_fp16",
    "avx512_bf16": "avx512_bf16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
}
ARM_FLAGS = {
    "neon": "neon",
    "asimd": "neon",
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
}

# Linux on Arm names no CPU model: MIDR part numbers of Arm Ltd (implementer 0x41).
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}


def this_cpuinfo() -> str:
    """/proc/cpuinfo of this machine; nothing where there is none or it may not be read."""
    return small_file(Path("/proc/cpuinfo"))


def small_file(path: Path) -> str:
    """A small file's text, or nothing: kernels and containers differ in what they show."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def cpu_model(cpuinfo: str) -> str | None:
    """The CPU's name in the text of /proc/cpuinfo, or what the platform says."""
    name = field(cpuinfo, "model name")
    if name:
        return " ".join(name.split())
    if field(cpuinfo, "CPU implementer") == "0x41":
        parts = re.findall(r"^CPU part\s*:\s*(\S+)", cpuinfo, flags=re.MULTILINE)
        names = [ARM_PARTS.get(part, f"Arm part {part}") for part in dict.fromkeys(parts)]
        if names:
            return " + ".join(names)
    return platform.processor() or None


def instruction_sets(cpuinfo: str) -> list[str]:
    """Names of the instruction sets of interest in the text of /proc/cpuinfo."""
    x86 = set((field(cpuinfo, "flags") or "").split())
    arm = set((field(cpuinfo, "Features") or "").split())
    names = [name for flag, name in X86_FLAGS.items() if flag in x86]
    names += [name for flag, name in ARM_FLAGS.items() if flag in arm]
    return list(dict.fromkeys(names))


def field(cpuinfo: str, key: str) -> str | None:
    """The first line's value of a key."""
    match = re.search(rf"^{re.escape(key)}\s*:\s*(.*)$", cpuinfo, flags=re.MULTILINE)
    return match[1].strip() if match else None
