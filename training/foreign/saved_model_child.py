"""Freezes a SavedModel into one graph of constants, in a process of its own.

    python saved_model_child.py MODEL FOLDER [SIDE]

FOLDER gets graph.pb (a GraphDef without variables) and about.json. Before TensorFlow loads anything
the operations are compared with those that may be in it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asmnet_kit.training.foreign.graph_ops import COMPUTES, OBJECTS, SAVED, refused_op
from asmnet_kit.training.foreign.refusing import Refused, telling

GRAPH, ABOUT = "graph.pb", "about.json"
SIGNATURE = "serving_default"
MAX_PROTO_BYTES = 2**30
MAX_FOLDER_BYTES = 2**31


def check_operations(folder: Path) -> None:
    """Refuse operations that do more than compute, before TensorFlow loads the model."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    if sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) > MAX_FOLDER_BYTES:
        raise Refused(f"expected a SavedModel of at most {MAX_FOLDER_BYTES >> 30} GiB")
    saved = SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    if not saved.meta_graphs:
        raise Refused("expected a SavedModel, got one without a graph in it")
    for meta in saved.meta_graphs:
        if not meta.object_graph_def.nodes:
            raise Refused(
                "expected a SavedModel of TensorFlow 2, got one of TensorFlow 1: load it there "
                "and save it with tf.saved_model.save"
            )
        name = refused_op(_operations(meta.graph_def), SAVED)
        if name is not None:
            raise Refused(_words(name))
        kind = next(
            (k for node in meta.object_graph_def.nodes if (k := node.WhichOneof("kind"))
             not in (*OBJECTS, None)), None,
        )  # fmt: skip
        if kind is not None:
            raise Refused(
                f"the SavedModel brings {kind!r}, whose code runs as soon as it is loaded: export "
                "the network alone, without tables and files"
            )


def _operations(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield node.op
    for function in graph.library.function:
        for node in function.node_def:
            yield node.op


def _words(name: str) -> str:
    return (
        f"the SavedModel holds the operation {name}, which does not only compute, or which the kit "
        "does not know: export the network alone"
    )


def freeze(folder: Path, out: Path, side: int | None) -> None:
    import tensorflow as tf

    from asmnet_kit.training.private_doors import frozen

    loaded = tf.saved_model.load(str(folder))
    if SIGNATURE not in loaded.signatures:
        raise Refused(
            f"expected a signature {SIGNATURE!r}, got {sorted(loaded.signatures) or 'none'}: "
            "tf.saved_model.save(model, folder, signatures=...) writes one, onnx2tf with -osd"
        )
    serve = loaded.signatures[SIGNATURE]
    given = serve.structured_input_signature[1]
    if len(given) != 1:
        raise Refused(f"expected one input, got {sorted(given)}")
    ((name, spec),) = given.items()
    shape = list(spec.shape) if spec.shape.rank is not None else []
    if len(shape) == 4 and side is not None and shape[1] is None and shape[2] is None:
        shape[1] = shape[2] = side
    typed = tf.TensorSpec(shape or None, spec.dtype)
    whole = tf.function(lambda picture: serve(**{name: picture}), input_signature=[typed])
    constants = frozen(whole.get_concrete_function())
    graph = constants.graph.as_graph_def()
    refused = refused_op(_operations(graph), COMPUTES)
    if refused is not None:
        raise Refused(_words(refused))
    names = sorted(serve.structured_outputs)  # the order in which a function flattens them
    about = {
        "input": constants.inputs[0].name,
        "input_shape": shape,
        "input_type": spec.dtype.name,
        "outputs": dict(zip(names, [t.name for t in constants.outputs], strict=True)),
    }
    (out / GRAPH).write_bytes(graph.SerializeToString())
    (out / ABOUT).write_text(json.dumps(about))


def main(model: str, out: str, side: str = "") -> None:
    with telling("a SavedModel of TensorFlow 2"):
        check_operations(Path(model))
        freeze(Path(model), Path(out), int(side) if side else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
