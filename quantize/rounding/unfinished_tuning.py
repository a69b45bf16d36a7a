"""An unfinished fine-tuning: its checkpoints wait beside the file, so that it can be resumed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import alone_in, make_folder, write_json
from asmnet_kit.base.run_folder import UNFINISHED
from asmnet_kit.tflite.metadata import ModelMetadata
from asmnet_kit.training.fit.checkpoints import Checkpoints

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

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Start, or go on with what is there; no other process may until the block ends.

        Raises:
            UsageError: nothing to resume, epochs that would be lost, a fine-tuning that was begun
                with other settings, or one that another process is at.
        """
        wanted = dict(self.metadata.source)
        if self.resume:
            self._require_begun_with(wanted)
        make_folder(self.folder)
        with alone_in(self.folder):
            if not self.resume:
                self._require_no_epochs()
                self._clear()
                write_json(self._settings, wanted)
            yield

    @property
    def _settings(self) -> Path:
        return self.folder / SETTINGS

    def _require_no_epochs(self) -> None:
        if self.checkpoints.path("last").exists():
            raise UsageError(
                f"{self.folder} holds an unfinished fine-tuning: go on with it by the same options "
                "and --resume, remove it, or choose another --out"
            )

    def _clear(self) -> None:
        """Empty the folder, which stays: it carries the lock."""
        for file in self.folder.iterdir():
            file.unlink()

    def _require_begun_with(self, wanted: dict[str, Any]) -> None:
        try:
            begun = json.loads(self._settings.read_text(encoding="utf-8"))
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
