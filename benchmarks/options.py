"""Options that single targets follow. Light: ``asmnet-kit benchmark --help`` reads this.

A target declares its options in its ``Abilities``. Those of the kit's own targets stand here, since
the command line has a flag for each; any other, such as that of another package's target, is given
as ``--option NAME=VALUE``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import require_exists


@dataclass(frozen=True)
class Option:
    """An option of one kind of targets; its value is text.

    Attributes:
        name: in ``Request.options`` and on the command line.
        help: what it is, one sentence.
        choices: the values it may have; empty for any.
        file: what the file of this machine is that the value names ("a compiled model"); empty
            where the value names none.
        of_one_model: it belongs to one MODEL, and cannot be given for several.
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    file: str = ""
    of_one_model: bool = False

    @property
    def flag(self) -> str:
        """``--gpu-precision`` of ``gpu_precision``, where the command line has a flag for it."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: str) -> None:
        """Refuse a value that the option cannot have.

        Raises:
            UsageError: it is none of ``choices``, or there is no such file.
        """
        if self.choices and value not in self.choices:
            raise UsageError(
                f"option {self.name}: expected one of {', '.join(self.choices)}, got {value!r}"
            )
        if self.file:
            require_exists(Path(value), expected=self.file)


RUNTIME = Option(
    "runtime",
    (
        "Runtime that runs the model on the CPU, here or on a board.  [default: the first one "
        "installed]"
    ),
    choices=("ai-edge-litert", "tflite-runtime"),  # of asmnet_kit.tflite.runtime, which needs NumPy
)
GPU_PRECISION = Option(
    "gpu_precision",
    "Arithmetic of the GPU; fp16 is faster and less exact.  [default: fp32]",
    choices=("fp32", "fp16"),
)
EDGETPU_COMPILER = Option(
    "edgetpu_compiler",
    "The program edgetpu_compiler (linux:edgetpu: on the board; without it this machine's, "
    "where there is one).  [default: $EDGETPU_COMPILER, then the PATH]",
)
EDGETPU_LIBRARY = Option(
    "edgetpu_library",
    "The library of the Edge TPU's delegate (linux:edgetpu: on the board).  "
    "[default: libedgetpu.so.1]",
)
EDGETPU_MODEL = Option(
    "edgetpu_model",
    "MODEL as edgetpu_compiler compiled it on another machine: the compiler runs on x86-64 "
    "alone, most boards are Arm.",
    file="MODEL as edgetpu_compiler compiled it",
    of_one_model=True,
)
BENCHMARK_MODEL = Option(
    "benchmark_model",
    "Measure with this program instead of the app (android).",
    file="TensorFlow Lite's benchmark_model for Android",
)

NPU_LIBRARIES = Option(
    "npu_libraries",
    "Folder of the libraries that a phone's NPU needs beside --benchmark-model: LiteRT's dispatch "
    "library and compiler plugin, and the chip maker's own (android:npu).",
    file="a folder of the NPU's libraries (*.so)",
)

# Arm's configurations of the NPU: family and multiply-accumulates per cycle. Each is a target.
ETHOSU_CHIPS = (
    "u55-32", "u55-64", "u55-128", "u55-256", "u65-256", "u65-512",
    "u85-128", "u85-256", "u85-512", "u85-1024", "u85-2048",
)  # fmt: skip
ETHOSU_SYSTEM = Option(
    "system_config",
    "Clock and memories around the Ethos-U, a section of Vela's Arm/vela.ini.  [default: "
    "Ethos_U55_High_End_Embedded, Ethos_U65_Client_Server or Ethos_U85_SYS_DRAM_Mid]",
)
ETHOSU_MEMORY = Option(
    "memory_mode",
    "Which memory holds what, a section of Vela's Arm/vela.ini.  [default: Shared_Sram for U55, "
    "Dedicated_Sram_384KB for U65 and U85]",
)

NPU_SOC = Option(
    "soc",
    "The phone's chip as MAKER:CHIP, for example mediatek:MT6991.  [default: qualcomm:SM8650]",
)

# Those of targets that measure nothing: asmnet-kit check takes them by --option.
CHECK_OPTIONS = (ETHOSU_SYSTEM, ETHOSU_MEMORY, NPU_SOC)

# Those that the command line has a flag for, by name, in the order of a command line.
FLAGS: Mapping[str, Option] = {
    option.name: option
    for option in (
        GPU_PRECISION,
        EDGETPU_COMPILER,
        EDGETPU_LIBRARY,
        EDGETPU_MODEL,
        BENCHMARK_MODEL,
        NPU_LIBRARIES,
        RUNTIME,
    )
}


def option_words(options: Mapping[str, str]) -> list[str]:
    """The words of a command line that give these options: flags first, in a fixed order."""
    words = []
    for name, option in FLAGS.items():
        if name in options:
            words += [option.flag, options[name]]
    for name in sorted(options.keys() - FLAGS.keys()):
        words += ["--option", f"{name}={options[name]}"]
    return words


def unflagged(options: Mapping[str, str]) -> dict[str, str]:
    """Options without a flag, by name: in what ways another package's target was measured."""
    return {name: options[name] for name in sorted(options.keys() - FLAGS.keys())}


def parse_named_options(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """``("speed=3",)`` as {"speed": "3"}: the callback of ``--option NAME=VALUE``."""
    options: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}")
        if options.setdefault(name, value) != value:
            raise click.BadParameter(f"expected one value of {name}, got {options[name]}, {value}")
    return options
