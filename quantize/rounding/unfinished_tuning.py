"""An unfinished fine-tuning: what it needs to go on waits in a folder beside the file."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import alone_in, make_folder, write_json
from asmnet_kit.base.reading import read_json
from asmnet_kit.base.run_folder import UNFINISHED
from asmnet_kit.training.fit.checkpoints import Checkpoints

SETTINGS = "settings.json"  # in it: what the fine-tuning was begun with
# Keys of the settings that say which software it was: a change of it is told, not refused.
SOFTWARE = ("kit_version", "packages")


@dataclass(frozen=True)
class UnfinishedTuning:
    """A fine-tuning's folder beside the file to be: checkpoints, and the prepared pictures.

    Attributes:
        file: that fine-tuning leads to; once it is written the folder goes.
        settings: what the fine-tuning depends on, JSON types; see ``SOFTWARE``.
        resume: go on with it.
        logs: write the logs of a dashboard into the folder.
    """

    file: Path
    settings: Mapping[str, Any]
    resume: bool
    logs: bool = False

    @property
    def folder(self) -> Path:
        """Where the checkpoints, the prepared pictures and the settings are."""
        return self.file.with_name(self.file.name + UNFINISHED)

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Start, or go on with what is there; no other process may until the block ends.

        A warning goes to the terminal where packages changed since it was begun.

        Raises:
            UsageError: nothing to resume, epochs that would be lost, a fine-tuning that was begun
                with other settings, or one that another process is at.
        """
        if self.resume:
            self._require_begun_alike()
        make_folder(self.folder)
        with alone_in(self.folder):
            if not self.resume:
                self._require_no_epochs()
                self._clear()
                write_json(self._settings_file, dict(self.settings))
            yield

    def forget(self) -> None:
        """Remove the folder, where there is one and no other process has begun anew in it."""
        with suppress(OSError, UsageError), alone_in(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _settings_file(self) -> Path:
        return self.folder / SETTINGS

    def _require_no_epochs(self) -> None:
        if self.checkpoints.path("last").exists():
            raise UsageError(
                f"{self.folder} holds an unfinished fine-tuning: go on with it by the same options "
                "and --resume, remove it, or choose another --out"
            )

    def _clear(self) -> None:
        """Empty the folder, which stays: it carries the lock."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _require_begun_alike(self) -> None:
        try:
            begun = read_json(self._settings_file)
            if not isinstance(begun, dict):
                raise ValueError("no JSON object")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.folder}: no fine-tuning to resume: leave --resume out"
            ) from error
        different = sorted(
            key
            for key, value in self.settings.items()
            # What an earlier version of the kit did not note is taken for the same.
            if key not in SOFTWARE and key in begun and value != begun[key]
        )
        if different:
            raise UsageError(
                f"{self.folder}: expected a fine-tuning with the same {', '.join(different)}: "
                f"{ {key: begun.get(key) for key in different} } became "
                f"{ {key: self.settings[key] for key in different} }. Give the same options, or "
                "leave --resume out"
            )
        self._tell_changed_software(begun)

    def _tell_changed_software(self, begun: Mapping[str, Any]) -> None:
        before, now = _software(begun), _software(self.settings)
        changed = [
            f"{name} {before.get(name, '(none)')}, now {now.get(name, '(none)')}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            stderr().print(
                f"{self.folder}: packages changed since this fine-tuning began, so the file may "
                f"differ from one made in one go: {'; '.join(changed)}",
                style="yellow",
                markup=False,
            )


def _software(settings: Mapping[str, Any]) -> dict[str, str]:
    """Package -> version, the kit itself included."""
    kit = settings.get("kit_version")
    return {**({"asmnet-kit": kit} if kit else {}), **settings.get("packages", {})}
