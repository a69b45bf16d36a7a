"""How long does a training on millions of prepared faces take to start, and how much memory?

Usage: make bench-records [ARGS="--faces 20000 --faces 2000000"]

Drawn faces are prepared once; then their shard stands in the folder as often as needed (hard links)
and the table names each face anew. Each number of faces is opened in a process of its own, up to
the first batch; the training network itself is left out, as it knows no number of faces. Memory is
what belongs to the process alone (RssAnon): mapped files are the kernel's to give back.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from asmnet_kit.base.console import print_json, stdout, table
from asmnet_kit.base.own_process import script_command
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import json_option
from asmnet_kit.training.studies.kit_command import kit

DRAWN = 512
BATCH = 64


@click.command(cls=KitCommand)
@click.option(
    "--faces",
    type=click.IntRange(min=1000),
    multiple=True,
    default=(20_000, 2_000_000),
    show_default=True,
    help="How many; repeatable.",
)
@json_option
def main(faces: tuple[int, ...], as_json: bool) -> None:
    """Measure the start of a training on many prepared faces."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kit(
            *("data", "synthesize", "--count", str(DRAWN), "--size", "112"),
            *("--out", folder / "drawn"),
        )
        kit(
            *("data", "prepare", "--data", folder / "drawn", "--format", "synthetic"),
            *("--split", "train", "--out", folder / "one"),
        )
        for count in faces:
            repeat(folder / "one", folder / str(count), count)
            done = subprocess.run(
                script_command(Path(__file__), str(folder / str(count))),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            rows.append({"faces": count, **json.loads(done.stdout.splitlines()[-1])})
    if as_json:
        print_json({"schema_version": 1, "rows": rows})
        return
    shown = table(*rows[0])
    for row in rows:
        shown.add_row(
            *(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values())
        )
    stdout().print(shown)


def repeat(one: Path, folder: Path, count: int) -> None:
    """A folder with ``count`` faces, whose shards are the one in ``one`` again and again."""
    from asmnet_kit.base.files import write_json
    from asmnet_kit.datasets.face_table import ROWS, row_type, writing_table
    from asmnet_kit.datasets.read_shards import INDEX, SUFFIX, read_index, read_shard

    folder.mkdir()
    index = read_index(one / INDEX)
    (shard,) = one.glob(f"*{SUFFIX}")
    names = [face.name for face in read_shard(shard, points=index["points"])]
    rows = np.fromfile(one / ROWS, row_type(index["points"]))
    sizes = {}
    with writing_table(folder, points=index["points"]) as writer:
        for number in range(-(-count // len(names))):
            name = f"train-{number:05d}{SUFFIX}"
            os.link(shard, folder / name)
            sizes[name] = shard.stat().st_size
            writer.add_rows(name, rows, [f"{number:06d}/{face}" for face in names])
    words = {key: index["table"][key] for key in ("splits", "subsets")}
    write_json(
        folder / INDEX, index | {"shards": sizes, "table": {**(writer.entry() or {}), **words}}
    )


@contextmanager
def timed(found: dict[str, float], what: str) -> Iterator[None]:
    """Seconds of the block: of the processor, which other programs change little."""
    begin = time.process_time()
    yield
    found[f"{what}_cpu_s"] = round(time.process_time() - begin, 1)


def own_memory_mb() -> int:
    """Of this process alone, now."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in text.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) // 1024


def start(folder: Path) -> None:
    """Everything that ``train`` does with faces before its first step; prints JSON."""
    found: dict[str, float] = {}
    began = time.monotonic()
    with timed(found, "imports"):
        from asmnet_kit.training.environment import import_tensorflow

        import_tensorflow()
        from asmnet_kit.training.config import TrainConfig
        from asmnet_kit.training.data.run_batches import batches_for, epoch_size
        from asmnet_kit.training.data.sources import choose_sources
        from asmnet_kit.training.folder import dataset_facts
        from asmnet_kit.training.run import fit_shape_model, has_poses
    before_mb = own_memory_mb()
    config = TrainConfig(
        data=str(folder), format="records", val_data=str(folder.parent / "drawn"),
        val_format="synthetic", batch_size=BATCH,
    )  # fmt: skip
    with timed(found, "open"):
        sources = choose_sources(config)
        epoch_size(config, sources.train.faces)
        has_poses(sources.train)
    with timed(found, "shape_model"):
        fit_shape_model(sources.train, config)
    with timed(found, "fingerprints"):
        dataset_facts(sources)
    with (
        timed(found, "first_batch"),
        batches_for(config, sources.train, {}, batch_size=BATCH, seed=0) as batches,
    ):
        batches.targets.mean_shape()
        batch = next(iter(batches.epoch(0, replicas=range(1), replica_count=1)))
        assert np.isfinite(batch["upright"].numpy()).all()
    found["all_cpu_s"] = round(sum(found.values()), 1)
    found["wall_s"] = round(time.monotonic() - began, 1)
    found["memory_mb"] = own_memory_mb() - before_mb
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) == 2 and Path(sys.argv[1]).is_dir():
        start(Path(sys.argv[1]))
    else:
        main()
