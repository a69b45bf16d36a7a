"""Opens a SavedModel as a tf_keras model of one layer, the whole graph.

What its layers were is not known any more: it runs, and is quantized after training, but there is
nothing that fine-tuning with emulated rounding could take hold of.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.model_kind import KINDS
from asmnet_kit.base.reading import MAX_MODEL_BYTES, read_bytes, read_json
from asmnet_kit.training.foreign import saved_model_child
from asmnet_kit.training.foreign.child import run_child
from asmnet_kit.training.foreign.graph_ops import COMPUTES, refused_op


class Graph(tf_keras.layers.Layer):  # type: ignore[misc]  # untyped
    """A graph of constants: pictures [B, H, W, C] to a list of outputs.

    Args:
        function: what runs it.
        shape: of its input; where the batch is 1, pictures go through one by one.
    """

    def __init__(self, function: Any, shape: tuple[int | None, ...], **options: Any) -> None:
        super().__init__(trainable=False, dtype="float32", **options)
        self._function, self._shape = function, shape

    def call(self, pictures: tf.Tensor) -> list[tf.Tensor]:
        if self._shape[0] is None or pictures.shape[0] == self._shape[0]:
            return self._run(pictures)
        singly = tf.map_fn(
            lambda picture: [value[0] for value in self._run(picture[None])],
            pictures,
            fn_output_signature=[
                tf.TensorSpec(value.shape[1:], tf.float32) for value in self._function.outputs
            ],
        )
        return list(singly)

    def _run(self, pictures: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(value, tf.float32) for value in self._function(pictures)]

    def get_config(self) -> dict[str, Any]:
        """For a copy in the same process; it is never written."""
        return {"name": self.name, "function": self._function, "shape": self._shape}


def load_saved_model(path: Path, *, side: int | None = None) -> tf_keras.Model:
    """The graph of a SavedModel's ``serving_default``, as a model with outputs by name.

    Args:
        side: of its input, pixels, where the file leaves it open.

    Raises:
        ModelError: damaged, of TensorFlow 1, or with operations that do more than compute.
    """
    with temporary_folder() as folder:
        arguments = (str(folder), *(() if side is None else (str(side),)))
        script = Path(saved_model_child.__file__)
        run_child(script, path, *arguments, what=KINDS["saved_model"].words)
        about = read_json(folder / saved_model_child.ABOUT)
        graph = tf.compat.v1.GraphDef()
        graph.ParseFromString(read_bytes(folder / saved_model_child.GRAPH, limit=MAX_MODEL_BYTES))
    refused = refused_op((node.op for node in graph.node), COMPUTES)
    if refused is not None or graph.library.function:
        raise ModelError(
            f"{path}: expected a graph that only computes, got {refused or 'functions'}"
        )
    shape = tuple(about["input_shape"])
    if about["input_type"] != "float32" or len(shape) != 4:
        raise ModelError(
            f"{path}: expected one input of float32 [B, S, S, 3], got {about['input_type']} "
            f"{list(shape)}"
        )
    names = sorted(about["outputs"])
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(graph, name=""), []
    )
    get = imported.graph.as_graph_element
    function = imported.prune(get(about["input"]), [get(about["outputs"][name]) for name in names])
    image = tf_keras.Input(shape[1:], name="image")
    outputs = Graph(function, shape, name="graph")(image)
    return tf_keras.Model(image, dict(zip(names, outputs, strict=True)), name=path.name)


def is_graph(model: tf_keras.Model) -> bool:
    """Whether a model is one graph, whose layers are not known."""
    return any(isinstance(layer, Graph) for layer in model.layers)
