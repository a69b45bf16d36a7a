"""A training step as Keras does it by itself, for ``training_speed`` to compare with.

The same network and batch through ``tf_keras``' ``model.fit`` with Adam and squared errors, data
in memory, TensorFlow's own settings and oneDNN off. A process of its own, since these settings hold
for a whole process; for each line on standard input it trains once and answers the seconds.
"""

import os
import subprocess
import sys
import time
from types import TracebackType

PLAIN_SETTINGS = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTEROP_THREADS": "0",  # TensorFlow's own choice
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class PlainFit:
    """The process, asked for one turn at a time.

    Args:
        arch, points, input_size: of the network.
        batch_size, steps: of one turn.
    """

    def __init__(
        self, arch: str, *, points: int, input_size: int, batch_size: int, steps: int
    ) -> None:
        self.pictures = batch_size * steps
        arguments = (arch, *map(str, (points, input_size, batch_size, steps)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asmnet_kit.training.studies.plain_fit", *arguments],
            env={**os.environ, **PLAIN_SETTINGS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def pictures_per_s(self) -> float:
        """Train one turn.

        Raises:
            RuntimeError: the process ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the plain process has no pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the plain process ended with code {self._process.wait()}")
        return self.pictures / float(answer)

    def __enter__(self) -> "PlainFit":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def serve(arch: str, points: int, input_size: int, batch_size: int, steps: int) -> None:
    """Answer each line on standard input with the seconds of a turn."""
    from asmnet_kit.training.environment import import_tensorflow

    import_tensorflow()
    import numpy as np

    from asmnet_kit.training.networks.build import build

    model = build(arch, points=points, input_size=input_size)
    model.compile(optimizer="adam", loss="mse")
    random = np.random.default_rng(0)
    count = batch_size * steps
    images = random.uniform(-1, 1, (count, input_size, input_size, 3)).astype(np.float32)
    truth = {
        name: random.uniform(-0.5, 0.5, (count, width)).astype(np.float32)
        for name, width in (("landmarks", 2 * points), ("pose", 3))
    }
    for _ in sys.stdin:
        started = time.perf_counter()
        model.fit(images, truth, batch_size=batch_size, verbose=0)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    serve(name, *map(int, numbers))
