"""What compilers and TensorFlow Lite Micro say of the kit's models, kept in the repository.

Usage: make check-reference [MODELS="a.tflite b.tflite"]   (needs asmnet-kit[ethosu,tflm])

Nothing of it is a time that was measured: the files hold placement, memory, the difference from the
CPU and, of Vela, the compiler's estimate. They depend on no machine but for that difference.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from asmnet_kit.benchmarks.studies.options import folder_option, models_argument

FOLDER = Path("benchmarks/reference/checks")
TARGETS = ("ethosu:u55-128", "ethosu:u65-512", "ethosu:u85-512", "tflm")

HEADER = """# What compilers say of the kit's models

Written by `make check-reference`, which runs `asmnet-kit check`; every figure is read from the
files in this folder. **No time here was measured, and no chip was at hand.** Vela's milliseconds
are the compiler's estimate, not measured, for the system and memories that each file names
(`tool.options`); an operator on the CPU is not in them. TensorFlow Lite Micro ran on a PC: its
arena is that of a 64-bit machine, and host time is not device time, so none is given. Differences
over 10 inputs are of drawn faces, those over 8 of random values. KB are 1,000 bytes.
"""

Kept = dict[str, Any]  # of a file: "model", the facts of the .tflite, and "check"


@click.command()
@models_argument
@folder_option("--out", FOLDER, "Folder of the files.")
@click.option(
    "--target", "targets", multiple=True, default=TARGETS, show_default=True, help="Whom to ask."
)
def main(models: tuple[Path, ...], out: Path, targets: tuple[str, ...]) -> None:
    """Ask each target about each of MODELs and write the files and their table.

    \b
    Example:
      python -m asmnet_kit.benchmarks.studies.check_reference toolkit/models/*.tflite
    """
    from asmnet_kit.base.console import stderr
    from asmnet_kit.base.files import require_writable, write_json, write_text
    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.runner import check_on_target, model_facts

    require_writable(out)
    for model in models:
        facts = model_facts(model)
        for target in targets:
            request = replace(Request(model), target=target)
            check = check_on_target(request, on_progress=lambda done, note: None)
            kept = json.loads(json.dumps(check).replace(str(model), model.name))  # no path of ours
            path = out / f"{model.stem}_{target.replace(':', '-')}.json"
            facts = {key: facts[key] for key in ("name", "file", "sha256", "size_bytes")}
            write_json(path, {"kind": "check", "model": facts, "check": kept})
            stderr().print(f"{path.name}: {check['verdict']}", markup=False)
    kept_files = [
        (path, json.loads(path.read_text("utf-8"))) for path in sorted(out.glob("*.json"))
    ]
    write_text(out / "README.md", f"{HEADER}\n{table_of(kept_files)}")


def table_of(files: Sequence[tuple[Path, Kept]]) -> str:
    """The files' figures as a Markdown table, one row for each file."""
    rows = [
        "| model | target | operators there | estimate, ms | cycles | SRAM or arena KB | DRAM KB | "
        "flash KB | difference from the CPU | by |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    rows += [f"| {' | '.join(_cells(path, kept))} |" for path, kept in files]
    return "\n".join(rows) + "\n"


def _cells(path: Path, kept: Kept) -> list[str]:
    check, estimate, tool = kept["check"], kept["check"]["estimate"], kept["check"]["tool"]
    placed = f"{check['mapped']} of {check['total']}"
    memory: Mapping[str, int] = check["memory_bytes"] or {}
    flash = memory.get("on_chip_flash", 0) + memory.get("off_chip_flash", 0)
    return [
        f"[{kept['model']['name']}]({path.name})",
        check["target"],
        "refused" if check["verdict"] == "refused" else placed,
        f"{estimate['milliseconds']:.2f}" if estimate else "-",
        f"{estimate['cycles']:,}" if estimate else "-",
        _kilobytes(memory.get("sram", 0) + memory.get("arena", 0)),
        _kilobytes(memory.get("dram", 0)),
        _kilobytes(flash),
        _difference(check["parity"]),
        f"{tool['name']} {tool['version']}" if tool else "the kit's rules",
    ]


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.0f}" if size else "-"


def _difference(parity: Mapping[str, Any] | None) -> str:
    if parity is None or "max_levels" not in parity:
        return "-"
    pixels = f", {parity['max']:.2f} px" if "max" in parity else ""
    return f"at most {parity['max_levels']} levels{pixels} ({parity['inputs']} inputs)"


if __name__ == "__main__":
    main()
