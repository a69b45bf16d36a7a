"""``asmnet-kit quickstart``: the whole path on drawn faces, by the commands a user would type.

Each step is a process of its own that runs a public command, so what the quickstart shows can be
repeated line by line, and no step inherits the memory of the one before.
"""

import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from asmnet_kit.base.errors import KitError, UsageError, require_installed
from asmnet_kit.base.files import alone_in, is_unused, write_json
from asmnet_kit.base.openers import open_stage
from asmnet_kit.base.reading import read_json
from asmnet_kit.base.run_folder import CONFIG, LAST_CHECKPOINT, MANIFEST, UNFINISHED
from asmnet_kit.commands.options import OnceCommand, OutputPath, seed_option

STAMP = "quickstart.json"
ARCHITECTURE = "asmnet_nano"
# High for Adam: the small network starts from nothing. After 6 epochs of 6,400 faces (even poses,
# |yaw| up to 30 degrees, one seed) the NME was 12.6 % with 1e-3, 10.4 % with 3e-3; with a hidden
# layer 8.6 % with 4e-3 and 8.3 % with 8e-3.
LEARNING_RATE = 1.1e-2
# Half the steps of batches of 32, each 1.5 times as long; after 16 epochs the NME was the same.
BATCH_SIZE = 64
NEAR_FRONTAL = "yaw_0_30"
TRAINING_PACKAGES = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "matplotlib")


@dataclass(frozen=True)
class Plan:
    """What the quickstart runs; the stamp in its folder keeps it, so that a rerun can go on.

    The defaults were chosen so that all of it, installation included, ends within ten minutes on
    two cores.
    """

    faces: int = 8_000
    epochs: int = 12
    input_size: int = 80  # pixels
    seed: int = 0
    tune_epochs: int = 2

    @property
    def picture_size(self) -> int:
        """Pixels. A drawn face fills 50 to 74 % of its picture, its crop 1.2 times as much."""
        return self.input_size * 3 // 2


@dataclass(frozen=True)
class Step:
    """One command, and whether it has ended well already.

    One that cannot tell always runs: it sees for itself what is left to do.
    """

    title: str
    arguments: tuple[str, ...]
    is_done: bool = False
    parts: tuple[Path, ...] = ()  # what an interrupted one leaves that would be there twice

    def run(self) -> None:
        """Run the command, its output going to the terminal.

        Raises:
            KitError: it failed; its own message is already on the terminal.
        """
        for part in self.parts:
            part.unlink(missing_ok=True)
        command = [sys.executable, "-m", "asmnet_kit", *self.arguments]
        code = subprocess.run(command, check=False).returncode
        if code != 0:
            raise KitError(
                f"the step '{self.title}' failed with exit code {code}; its message is above. "
                "Run the quickstart again to continue from here."
            )


def steps(out: Path, plan: Plan) -> list[Step]:
    """The commands of the quickstart, in order."""
    data, run, models, results = (out / name for name in ("data", "run", "models", "results"))
    source = ("--data", str(data), "--format", "synthetic")
    stem = f"{ARCHITECTURE}_68_{plan.input_size}"
    quantized = {recipe: models / f"{stem}_{recipe}.tflite" for recipe in ("fp32", "qat_w8a8")}
    seed = ("--seed", str(plan.seed))

    def quantize(recipe: str) -> Step:
        file = quantized[recipe]
        arguments = ["quantize", str(run), *source, "--recipe", recipe, *seed, "--out", str(models)]
        if recipe == "qat_w8a8":
            begun = file.with_name(file.name + UNFINISHED) / LAST_CHECKPOINT
            arguments += ["--epochs", str(plan.tune_epochs), *resumed(begun)]
        return Step(f"quantize ({recipe})", tuple(arguments), file.exists())

    measured = [
        f"{stem}_{recipe}_cpu_{threads}t.json" for recipe in quantized for threads in (1, 2)
    ]
    reports = [out / f"report.{ending}" for ending in ("html", "md")]
    return [
        Step(
            "draw faces",
            (
                *("data", "synthesize", "--count", str(plan.faces)),
                *("--size", str(plan.picture_size), *seed, "--out", str(data)),
            ),
        ),
        Step(
            "train",
            (
                *("train", *source, "--arch", ARCHITECTURE),
                *("--loss", "asm_smooth_l1", "--alpha", "constant:0.2"),
                *("--epochs", str(plan.epochs), "--input-size", str(plan.input_size)),
                *("--batch-size", str(BATCH_SIZE), "--learning-rate", str(LEARNING_RATE)),
                *("--augmentation", "light"),
                *(*seed, "--out", str(run), *resumed(run / CONFIG)),
            ),
            is_finished(run),
        ),
        *(quantize(recipe) for recipe in quantized),
        Step(
            "benchmark",
            (
                *("benchmark", *map(str, quantized.values()), "--target", "cpu"),
                *("--threads", "1", "--threads", "2", *source, "--split", "test"),
                *("--out", str(results)),
            ),
            all((results / name).exists() for name in measured),
            tuple(results / name for name in measured),  # benchmark overwrites no result
        ),
        Step(
            "report",
            (
                *("report", str(results), "--title", "asmnet-kit quickstart"),
                *(word for file in quantized.values() for word in ("--faces", str(file))),
                *("--out", str(out / "report.html")),
            ),
            all(report.exists() for report in reports),
        ),
    ]


def resumed(begun: Path) -> tuple[str, ...]:
    """``--resume`` where an earlier call got as far as this file, after which it is needed."""
    return ("--resume",) if begun.exists() else ()


def is_finished(run: Path) -> bool:
    """Whether a training run has ended: its manifest says so last, after the model is there."""
    try:
        manifest = read_json(run / MANIFEST)
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and bool(manifest.get("finished_at"))


def begin(out: Path, plan: Plan) -> None:
    """Claim ``out`` for ``plan``; a folder of the same plan goes on where it stopped.

    Raises:
        UsageError: the folder holds something else, or an input size that no network takes.
        MissingDependency: what training needs is not installed.
    """
    # Both checks spare the minutes that drawing faces takes.
    open_stage("input size check")(plan.input_size)
    require_installed(*TRAINING_PACKAGES, extra="train")
    stamp = out / STAMP
    if stamp.exists():
        try:
            earlier = read_json(stamp)
        except ValueError as error:
            raise UsageError(
                f"{stamp}: not JSON ({error}); choose another folder with --out"
            ) from error
        if not isinstance(earlier, dict):
            raise UsageError(f"{stamp}: expected an object; choose another folder with --out")
        # An option that is newer than the folder had its default then.
        different = [
            f"--{name.replace('_', '-')} {earlier.get(name, getattr(Plan, name))} there, "
            f"{value} asked for"
            for name, value in asdict(plan).items()
            if earlier.get(name, getattr(Plan, name)) != value
        ]
        if different:
            raise UsageError(
                f"{out} holds a quickstart with other options ({'; '.join(different)}): give the "
                "same, or choose another folder with --out"
            )
        return
    if not is_unused(out):
        raise UsageError(f"{out} is not empty and holds no quickstart; choose another with --out")
    write_json(stamp, asdict(plan))


@click.command(cls=OnceCommand)
@click.option(
    "--out",
    type=OutputPath(file_okay=False),
    required=True,
    help="Output folder; the report is report.html in it.",
)
@click.option(
    "--faces",
    type=click.IntRange(min=100),
    default=Plan.faces,
    show_default=True,
    help="Number of faces to draw.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=Plan.epochs,
    show_default=True,
    help="Number of training epochs.",
)
@click.option(
    "--input-size",
    type=click.IntRange(min=64, max=224),
    default=Plan.input_size,
    show_default=True,
    help="Side of the model's input, pixels.",
)
@click.option(
    "--tune-epochs",
    type=click.IntRange(min=1),
    default=Plan.tune_epochs,
    show_default=True,
    help="Number of epochs of fine-tuning for int8.",
)
@seed_option
def quickstart(
    out: Path, faces: int, epochs: int, input_size: int, tune_epochs: int, seed: int
) -> None:
    """Draw faces, train, quantize to int8, benchmark and report, with no data of your own.

    \b
    Example:
      asmnet-kit quickstart --out quickstart

    If it is interrupted, run the same command again: it continues where it stopped.
    """
    from asmnet_kit.base.console import stderr

    plan = Plan(
        faces=faces, epochs=epochs, input_size=input_size, seed=seed, tune_epochs=tune_epochs
    )
    begin(out, plan)
    console = stderr()
    started = time.monotonic()
    with alone_in(out):
        todo = steps(out, plan)
        for number, step in enumerate(todo, start=1):
            heading = f"[{number}/{len(todo)}] {step.title}"
            if step.is_done:
                console.print(f"[bold]{heading}[/bold]: already done")
                continue
            console.print(f"\n[bold]{heading}[/bold]\n$ asmnet-kit {shlex.join(step.arguments)}")
            step.run()
    minutes = (time.monotonic() - started) / 60
    print_table(out / "results")
    console.print(f"\nDone in {minutes:.1f} minutes. Next: open {out / 'report.html'}")


def print_table(results: Path) -> None:
    """Accuracy beside speed of every benchmark result in ``results``, on stdout."""
    from asmnet_kit.base.console import stdout, table
    from asmnet_kit.results.results import load_results

    headings = ("model", "threads", "size KB", "NME %", "NME % |yaw| ≤ 30°", "p50 ms")
    title = "Held-back drawn faces, this machine's CPU"
    shown = table(*headings, title=title, left=("model",))
    for _, result in load_results([results]):
        accuracy = result["accuracy"]
        near_frontal = accuracy["per_subset"].get(NEAR_FRONTAL)
        shown.add_row(
            result["model"]["name"],
            str(result["target"]["threads"]),
            f"{result['model']['size_bytes'] / 1000:.0f}",
            f"{accuracy['nme_percent']:.2f}",
            f"{near_frontal['nme_percent']:.2f}" if near_frontal else "not measured",
            f"{result['summary']['p50']:.2f}",
        )
    stdout().print(shown)
