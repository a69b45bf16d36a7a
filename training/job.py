"""What ``asmnet-kit train`` does once its options are read, in its own process or another one."""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import Interrupted
from asmnet_kit.base.places import is_url
from asmnet_kit.base.run_folder import CHECKPOINTS, CONFIG, LAST_CHECKPOINT, MODEL
from asmnet_kit.training.config import TrainConfig, strategy_to_resume


@dataclass(frozen=True)
class Job:
    """A call of ``train``.

    Attributes:
        run: the folder; of several workers the chief's.
        config: the settings of a new run; None goes on with the one in ``run``.
        given: the settings that the user typed, which must be the run's.
        left_open: settings of a new run that nobody gave and that follow from others: of several
            workers the chief alone settles them.
        max_minutes: no epoch begins after this long.
        command: how it was started, for the manifest.
        recipe: that the settings of a new run started from, for the manifest.
    """

    run: Path
    config: TrainConfig | None
    given: dict[str, Any]
    left_open: tuple[str, ...]
    max_minutes: float | None
    command: str
    recipe: str | None = None

    def to_json(self) -> dict[str, Any]:
        config = None if self.config is None else dataclasses.asdict(self.config)
        return {**dataclasses.asdict(self), "run": str(self.run), "config": config}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Job":
        config = content["config"] and TrainConfig(**content["config"])
        kept = {"run": Path(content["run"]), "left_open": tuple(content["left_open"])}
        return cls(**{**content, **kept, "config": config})

    @property
    def strategy(self) -> str:
        """The ``--strategy`` that counts."""
        if self.config is not None:
            return self.config.strategy
        return strategy_to_resume(self.run, self.given)

    def going_on(self) -> "Job":
        """The same, but to go on where the folder holds a run."""
        return dataclasses.replace(self, config=None) if (self.run / CONFIG).is_file() else self

    @property
    def advice(self) -> str:
        """How to go on after a worker was lost, a sentence."""
        if (self.run / CHECKPOINTS / LAST_CHECKPOINT).is_file():
            again = " with --resume: the last epoch's checkpoint is intact"
        elif (self.run / CONFIG).is_file():
            again = " with --resume; no epoch was finished yet"
        else:
            again = ""
        return f"Start every worker again{again}"


def work(job: Job) -> None:
    """Train in this process, and tell what came out.

    Raises:
        KitError: see ``training.run.train`` and ``resume``.
    """
    from asmnet_kit.training.environment import import_tensorflow

    import_tensorflow()
    from asmnet_kit.base.console import stderr, stdout
    from asmnet_kit.training import run as training_run

    quoted = shlex.quote(str(job.run))
    call: dict[str, Any] = {"max_minutes": job.max_minutes, "command": job.command}
    try:
        if job.config is None:
            result = training_run.resume(job.run, job.given, **call)
        else:
            result = training_run.train(
                job.config, job.run, recipe=job.recipe, left_open=job.left_open, **call
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; continue with: asmnet-kit train --resume --out {quoted}"
        ) from None
    scores = result.evaluation.scores
    stdout().print(
        f"validation NME {scores.nme_percent:.2f} % (best epoch {result.best_epoch} of "
        f"{result.epochs}, {scores.faces} faces)"
    )
    if scores.pose_mae_deg is not None:
        angles = ", ".join(f"{name} {error:.1f}" for name, error in scores.pose_mae_deg.items())
        stdout().print(f"validation pose error, degrees: {angles}")
    if not result.finished:
        stderr().print(
            f"Stopped after {result.epochs} of {result.config.epochs} epochs. "
            f"Next: asmnet-kit train --resume --out {quoted}",
            markup=False,
        )
        return
    if not (job.run / MODEL).exists():
        stderr().print("Done: the model is in the chief's folder.")
        return
    # quantize reads no server: it needs a copy of the folder.
    data = "FOLDER" if is_url(result.config.data) else shlex.quote(result.config.data)
    stderr().print(
        f"Done: {job.run / MODEL}. Next: asmnet-kit quantize {quoted} --data "
        f"{data} --format {result.config.format} --recipe qat_w8a8 "
        "--out models",
        markup=False,
    )
