"""The private and undocumented parts of LiteRT that the kit uses, and the versions tried.

The Python classes of the file format come with the package but without documentation, and only a
private method of the interpreter says which operators a delegate took.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from asmnet_kit.base.private_doors import PrivateDoor

LITERT = PrivateDoor("ai-edge-litert", ("2.3.0",))
# By distribution, as ``runtime.RUNTIMES``. The old runtime's interpreter has the same method.
INTERPRETERS = MappingProxyType(
    {door.package: door for door in (LITERT, PrivateDoor("tflite-runtime", ("2.14.0",)))}
)


@dataclass(frozen=True)
class ListedOperator:
    """A node in an interpreter's plan; a delegate adds its own behind the model's.

    Attributes:
        inputs, outputs: indices of tensors.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def tflite_schema() -> Any:
    """The module of the classes that flatbuffers generates from TensorFlow Lite's schema.

    Raises:
        MissingDependency: the installed version no longer has it.
    """

    def get() -> Any:
        from ai_edge_litert import schema_py_generated

        return schema_py_generated

    return LITERT.open("schema_py_generated", get)


def listed_operators(interpreter: Any, *, runtime: str) -> list[ListedOperator]:
    """The operators of an interpreter: the model's, then those that delegates added.

    Args:
        interpreter: of ``runtime``, a key of ``INTERPRETERS``.

    Raises:
        MissingDependency: the installed version no longer lists them.
    """

    def get() -> list[ListedOperator]:
        return [
            ListedOperator(
                str(op["op_name"]), tuple(map(int, op["inputs"])), tuple(map(int, op["outputs"]))
            )
            for op in interpreter._get_ops_details()
        ]

    return INTERPRETERS[runtime].open("Interpreter._get_ops_details", get)
