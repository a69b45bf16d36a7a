"""An unfinished fine-tuning: its checkpoints wait beside the file, so that it can be resumed."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.console import stderr
from asmnet_kit.errors import UsageError
from asmnet_kit.files import write_json
from asmnet_kit.modelfile import ModelMetadata
from asmnet_kit.training.checkpoints import Checkpoints

UNFINISHED = ".unfinished"  # behind the file's name: the folder of the checkpoints
SETTINGS = "settings.json"  # in it: what the fine-tuning was begun with


@dataclass(frozen=True)
class UnfinishedTuning:
    """A fine-tuning's folder beside the file to be.

    Attributes:
        file: that fine-tuning leads to; once it is written the folder goes.
        metadata: of the file to be; its source says what the fine-tuning depends on.
        resume: go on with it.
    """

    file: Path
    metadata: ModelMetadata
    resume: bool

    @property
    def folder(self) -> Path:
        """Where the checkpoints and the settings are."""
        return self.file.with_name(self.file.name + UNFINISHED)

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder)

    def begin(self) -> None:
        """Start anew, or make sure that what is there can be gone on with.

        Raises:
            UsageError: nothing to resume, or a fine-tuning that was begun with other settings.
        """
        wanted = dict(self.metadata.source)
        settings = self.folder / SETTINGS
        if not self.resume:
            if settings.exists():
                stderr().print(
                    f"[yellow]{self.folder} holds an unfinished fine-tuning: it is begun anew "
                    "(--resume would have gone on)[/yellow]"
                )
                shutil.rmtree(self.folder)
            write_json(settings, wanted)
            return
        try:
            begun = json.loads(settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.folder}: no fine-tuning to resume: leave --resume out"
            ) from error
        different = sorted(key for key in wanted if wanted[key] != begun.get(key))
        if different:
            raise UsageError(
                f"{self.folder}: expected a fine-tuning with the same {', '.join(different)}: "
                f"{ {key: begun.get(key) for key in different} } became "
                f"{ {key: wanted[key] for key in different} }. Give the same options, or leave "
                "--resume out"
            )

    def forget(self) -> None:
        """Remove the folder, where there is one."""
        shutil.rmtree(self.folder, ignore_errors=True)
