"""The devices of a run: the GPUs of one machine, several machines, float16 where it is quick.

Several machines train together as *workers*, each with its share of every batch. One of them, the
chief, decides for all: whether the run may begin or goes on, from which weights, and when it ends.
Only its disk is read and written. What the others must know it tells them, so that they may share
its disk or not, and may come late.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, UsageError, one_line
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.training.cluster.addresses import cluster_of_environment, is_asked_for

WORD = np.dtype("<u4")  # what bytes are sent as: float64 holds each exactly, on every device


def choose_strategy(name: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy for ``--strategy``; of several workers, once all are there.

    Raises:
        UsageError: multiworker without TF_CONFIG in the environment, or with one that names no
            workers.
    """
    asked, gpus = name, tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "none"
    if is_asked_for(asked):
        cluster_of_environment()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([_device_name(device) for device in devices])
    return tf.distribute.get_strategy()


def _device_name(device: Any) -> str:
    """``GPU:0`` of a physical or logical device's long name."""
    return ":".join(str(device.name).split(":")[-2:])


class WorkerLost(KitError):
    """TensorFlow says that another worker is gone; ``reason`` in its words."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "another worker stopped or cannot be reached any more; its own messages say why. Start "
            f"every worker again, with --resume once the chief's --out holds a run ({reason})"
        )
        self.reason = reason


class Workers:
    """All machines of a run; for a run on one machine, that one alone.

    Every worker must make the same calls in the same order.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        any_length = tf.TensorSpec([None], tf.float64)
        self._of_first_replica = tf.function(self._sum_of_first, input_signature=[any_length])
        resolver = strategy.cluster_resolver
        cluster = {} if resolver is None else resolver.cluster_spec().as_dict()
        self.count = sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")) or 1
        self.is_chief = not cluster or (
            resolver.task_type == "chief"
            or (resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in cluster)
        )

    def from_chief(self, decide: Callable[[], Any]) -> Any:
        """What the chief decides; the others do not call ``decide``, and get its JSON."""
        if self.count == 1:
            return decide()
        mine = json.dumps(decide()).encode() if self.is_chief else b""
        return json.loads(self._bytes_from_chief(mine))

    def take_weights(self, model: tf_keras.Model) -> None:
        """Give ``model``, which is the same network everywhere, the weights it has at the chief."""
        if self.count == 1:
            return
        weights = model.get_weights()
        content = self._bytes_from_chief(b"".join(weight.tobytes() for weight in weights))
        ends = np.cumsum([weight.nbytes for weight in weights])
        parts = (
            content[end - weight.nbytes : end] for end, weight in zip(ends, weights, strict=True)
        )
        model.set_weights(
            [
                np.frombuffer(part, weight.dtype).reshape(weight.shape)
                for part, weight in zip(parts, weights, strict=True)
            ]
        )

    @contextmanager
    def chiefs_files(self, folder: Path, names: Sequence[str]) -> Iterator[Path]:
        """A folder with those of the files ``names`` that the chief has in ``folder``.

        Where this is not the chief it is a temporary one, whatever is in ``folder`` here.
        """
        if self.is_chief:
            for name in names if self.count > 1 else ():
                path = folder / name
                self.from_chief(path.exists)
                if path.exists():
                    self._bytes_from_chief(path.read_bytes())
            yield folder
            return
        with temporary_folder() as copies:
            for name in names:
                if self.from_chief(bool):
                    (copies / name).write_bytes(self._bytes_from_chief(b""))
            yield copies

    def wait(self) -> None:
        """Until every worker is here."""
        self.from_chief(bool)

    @contextmanager
    def none_lost(self) -> Iterator[None]:
        """A block that ends with a clear error where another worker ends before it does.

        Raises:
            WorkerLost: another worker stopped, or can no longer be reached.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as e:
            if self.count == 1:
                raise
            raise WorkerLost(one_line(e)[:200]) from e

    def _bytes_from_chief(self, content: bytes) -> bytes:
        """The chief's ``content``."""
        (size,) = self._numbers_from_chief(np.array([len(content)], np.float64))
        words = np.zeros(-(-int(size) // WORD.itemsize), WORD)
        if self.is_chief:
            words.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
        sent = self._numbers_from_chief(words.astype(np.float64))
        return sent.astype(WORD).tobytes()[: int(size)]

    def _numbers_from_chief(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [M]: the chief's ``numbers``, whose length all must know."""
        return np.asarray(self._of_first_replica(tf.constant(numbers)), np.float64)

    def _sum_of_first(self, numbers: tf.Tensor) -> tf.Tensor:
        """The sum over all replicas, to which the first one alone, the chief's, adds anything."""

        def share(values: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.where(tf.equal(replica, 0), values, 0.0)

        shares = self.strategy.run(share, args=(numbers,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)


def check_precision(name: str) -> None:
    """Refuse float16 without a GPU, where it is slow and saves nothing.

    Raises:
        UsageError: it was asked for.
    """
    if name == "mixed_float16" and not tf.config.list_physical_devices("GPU"):
        raise UsageError("--precision mixed_float16 needs a GPU: use auto or float32")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers under a Keras precision policy; weights are float32 under each.

    Raises:
        UsageError: see ``check_precision``.
    """
    check_precision(name)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    policy = "mixed_float16" if has_gpu and name == "auto" else name
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("float32" if policy == "auto" else policy)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
