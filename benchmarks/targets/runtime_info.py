"""What ``benchmark_model`` writes of the graph that it ran: which delegate took which operators.

A protocol buffer, ``ModelRuntimeDetails`` of tflite/profiling/proto/model_runtime_info.proto, by
``--model_runtime_info_output_file``. A few fields of it are read here, each access bounds-checked:
the file comes from another machine.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from asmnet_kit.base.errors import KitError

FLAG = "--model_runtime_info_output_file"
FILE = "runtime_info.pb"
MAX_BYTES = 16 << 20  # a model of thousands of operators has some hundred kilobytes

# Wire types of a protocol buffer.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10

# Numbers of the fields, as in the .proto file.
SUBGRAPHS = 2
SUBGRAPH_ID, NODES, SUBGRAPH_TYPE = 1, 3, 5
DELEGATE_SUBGRAPH = 2  # of SubgraphType: a delegate's own copy
NODE_ID, DELEGATE_DETAILS, DELEGATED_TO = 1, 8, 9
DELEGATE_NAME, REPLACED = 1, 2

Field = tuple[int, int | bytes]


class RuntimeInfoError(KitError):
    """The file is no ModelRuntimeDetails, or it contradicts itself."""


@dataclass(frozen=True)
class RuntimeInfo:
    """Operators of the model's main graph as it ran.

    Attributes:
        total: of the model's own operators.
        delegated: how many of them each delegate took, by its name, the most first.
    """

    total: int
    delegated: Mapping[str, int]

    def taken_by(self, part: str) -> tuple[str, int] | None:
        """The delegate whose name has ``part`` in it, in any case, and how many it took."""
        for name, count in self.delegated.items():
            if part in name.lower():
                return name, count
        return None


def parse_runtime_info(content: bytes) -> RuntimeInfo:
    """Read a ``runtime_info.pb``.

    Raises:
        RuntimeInfoError: it is damaged, empty or contradicts itself.
    """
    if not 0 < len(content) <= MAX_BYTES:
        raise RuntimeInfoError(f"expected a {FILE} of 1 to {MAX_BYTES} bytes, got {len(content)}")
    for number, value in list(_fields(content)):  # the whole file: one that is cut off is refused
        if number != SUBGRAPHS:
            continue
        fields = list(_fields(_message(value)))
        if _number(fields, SUBGRAPH_ID) == 0 and (
            _number(fields, SUBGRAPH_TYPE) != DELEGATE_SUBGRAPH
        ):
            return _main_graph([_message(v) for n, v in fields if n == NODES])
    raise RuntimeInfoError(f"expected a main graph in {FILE}, found none")


def _main_graph(nodes: list[bytes]) -> RuntimeInfo:
    own: dict[int, bool] = {}  # number of the operator -> it was delegated
    replaced: dict[int, str] = {}  # number of the operator -> name of the delegate
    for node in nodes:
        fields = list(_fields(node))
        details = [_message(v) for n, v in fields if n == DELEGATE_DETAILS]
        if not details:
            own[_number(fields, NODE_ID)] = any(n == DELEGATED_TO for n, _ in fields)
            continue
        inside = list(_fields(details[-1]))
        name = next((_message(v) for n, v in inside if n == DELEGATE_NAME), b"")
        for number in _numbers(inside, REPLACED):
            if number in replaced:
                raise RuntimeInfoError(f"{FILE}: two delegates took operator {number}")
            replaced[number] = name.decode("utf-8", errors="replace")
    if not own or {number for number, taken in own.items() if taken} != replaced.keys():
        raise RuntimeInfoError(
            f"{FILE}: the operators that were delegated and those that delegates took differ"
        )
    return RuntimeInfo(len(own), dict(Counter(replaced.values()).most_common()))


def _fields(content: bytes) -> Iterator[Field]:
    """A message's fields in order: their numbers and values.

    Raises:
        RuntimeInfoError: it is cut off, or of another format.
    """
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = _varint(content, place)
        elif kind in FIXED_SIZES:
            size = FIXED_SIZES[kind]
        else:
            raise RuntimeInfoError(f"expected a {FILE}, got a field of kind {kind}")
        if size > len(content) - place:
            raise RuntimeInfoError(f"{FILE} is cut off: field {number} has {size} bytes")
        yield number, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(content[place : place + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place + shift + 1
    raise RuntimeInfoError(f"{FILE} is cut off or of another format: a number without an end")


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise RuntimeInfoError(f"{FILE}: expected a message, got the number {value}")
    return value


def _number(fields: list[Field], number: int) -> int:
    """A number, which is left out where it is 0."""
    return next((v for n, v in reversed(fields) if n == number and isinstance(v, int)), 0)


def _numbers(fields: list[Field], number: int) -> Iterator[int]:
    """A repeated number, packed or one by one."""
    for found, value in fields:
        if found != number:
            continue
        if isinstance(value, int):
            yield value
            continue
        place = 0
        while place < len(value):
            one, place = _varint(value, place)
            yield one
