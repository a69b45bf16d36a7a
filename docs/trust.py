"""Writes docs/trust.md from the catalogue of faults that the tests inject."""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "tests" / "benchmarks" / "faults.toml"
TARGET = Path(__file__).with_name("trust.md")
PAGE = """# Who notices what

Written by `make docs` from `tests/benchmarks/faults.toml`; edit the table there, not this page.

Each row is a published way in which a benchmark reported a wrong number. A test injects the fault:
it replaces the runtime that a target calls, or the machine's clock and counters, and runs the
command that a user types. The command must name the cause. It ends with exit code 1 and no result;
if a person must judge, it warns on the terminal and in the result.
`tests/benchmarks/test_faults.py` has a test for each row; {clean}.

The last column shows what Google's `litert-benchmark` (ai-edge-litert 2.3.0, x86-64, CPU) did with
the same fault: `python -m asmnet_kit.benchmarks.studies.litert_faults MODEL.tflite` injects it
there; `--use_npu` was its own command on a machine without an NPU. "Not tried" means just that.

{table}

## The gate on outputs

On every target that runs in a process of this kit the timed runs are fed {inputs} in turn. The
outputs of the first inference, of the first, a middle and the last timed run, of the last sustained
run, and of a run with an input that no other had, are compared with those of the same file on this
machine's CPU. On an accelerator the command fails when one of them is too far off; on a CPU it
warns. A model without landmarks gets random values.

| output | largest difference allowed | on average over one output |
|---|---|---|
| landmarks, integers | 10 steps of the output's scale, in pixels of the crop | a fifth of it |
| landmarks, float, where the target computes in float32 | 0.1 % of the crop's side | a fifth |
| landmarks, float, elsewhere | 1 % of the crop's side, for float16 arithmetic | a fifth |
| any other, integers of a scale | 10 steps of the scale | four steps |
| any other, float | 0.001 (float32) or 0.01 of its largest value | four tenths of it |
| any other, integers without a scale (indices, counts) | 1 % of its values may differ | - |

Float outputs that a model dequantizes from 8 bits (an int8 model with float inputs and outputs)
have the limits of integers, in steps of the scale before that.

`--max-parity PX` replaces the limit for the landmarks; for a model without landmarks, that of each
output, in the output's own unit. Where the numbers come from: integer kernels of one file were seen
up to 6 steps apart, a GPU that computes an int8 model in float 1.3 steps on average in the
landmarks of noise and 2.4 in other outputs; a lost bias or a wrong scale moved outputs by 5 to 74.
The result's `output_check` has the differences, the limits with their source, each run, and the
cause where one is known.

Where a target compared nothing, its `parity` is judged: by its largest difference where the inputs
were made up (the phone's app), by its mean where they were the faces of `--data`. A target with
neither gets a warning. The fault must be larger than the limit: one that moves landmarks by less
than rounding does is not seen.

## One code path

Times and accuracy are measured by the same opener of the same target, of a file whose SHA-256 is
checked before it is opened and after it was measured, each time; kernels of another name end with
1. `tests/benchmarks/test_one_code_path.py` says so for the targets of this machine.
"""


def faults() -> list[dict[str, str]]:
    """The rows of the catalogue."""
    rows: list[dict[str, str]] = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))["fault"]
    return rows


def page() -> str:
    """The whole page, Markdown."""
    lines = ["| fault | asmnet-kit benchmark | it says | litert-benchmark |", "|---|---|---|---|"]
    lines += [
        f"| {row['what']} | {row['ends']} | {row['says']} | {row.get('litert', 'not tried')} |"
        for row in faults()
    ]
    clean = "1,000 clean measurements, simulated, and 10 through the command raise no alarm"
    return PAGE.format(table="\n".join(lines), clean=clean, inputs="five drawn faces")


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
