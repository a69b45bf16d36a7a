"""From data to file as a picture: what was trained on what, and became which file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asmnet_kit.results.report import text
from asmnet_kit.results.report.rows import SHORT_HASH, Row

COLUMNS = ("data", "float model", "file", "measured")
BOX_WIDTH, BOX_HEIGHT = 248, 44
COLUMN_STEP, ROW_STEP = 300, 60
TOP = 34  # room for the columns' names
TITLE_CHARACTERS, DETAIL_CHARACTERS = 27, 34  # that a box is wide enough for
MOST_FILES = 24


@dataclass(frozen=True)
class Node:
    """A box of the picture: units of the SVG, two lines of text, and the whole text."""

    x: int
    y: int
    title: str
    detail: str
    whole: str


@dataclass(frozen=True)
class Lineage:
    """The picture: its size, boxes and the curves between them; how many files it leaves out."""

    width: int
    height: int
    columns: list[tuple[int, str]]
    nodes: list[Node]
    links: list[str]
    left_out: int
    box_width: int = BOX_WIDTH


def lineage_of(rows: Sequence[Row]) -> Lineage:
    """What the metadata of the models' files says, and where each was measured."""
    graph = _Graph()
    by_file: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_file.setdefault(row.key, []).append(row)
    for measured in list(by_file.values())[:MOST_FILES]:
        _add_file(graph, measured)
    return graph.drawn(left_out=max(0, len(by_file) - MOST_FILES))


def _add_file(graph: "_Graph", rows: Sequence[Row]) -> None:
    facts = rows[0].result["model"]
    metadata = _object(facts.get("metadata"))
    source = _object(metadata.get("source"))
    detail = f"{facts.get('recipe') or 'no recipe'} · {text.size(facts['size_bytes'])}"
    file = graph.node(
        2, facts["sha256"], facts["name"], f"{detail} · {facts['sha256'][:SHORT_HASH]}"
    )
    trained_on = source.get("dataset_fingerprint")
    made_from = source.get("model_sha256")
    before = file
    if made_from:
        architecture = str(facts.get("architecture") or "a network")
        before = graph.node(1, str(made_from), architecture, f"sha256 {_short(made_from)}")
        graph.link(before, file)
    if trained_on:
        graph.link(_data_node(graph, trained_on, "trained on", metadata), before)
    quantized_on = source.get("quantized_on")
    if quantized_on and quantized_on != trained_on:
        graph.link(_data_node(graph, quantized_on, "quantized on", metadata), file)
    if not source:
        unknown = graph.node(0, f"unknown {facts['sha256']}", "origin unknown", "no metadata")
        graph.link(unknown, file)
    devices = list(dict.fromkeys(row.column for row in rows))
    told = devices[0] if len(devices) == 1 else text.plural(len(devices), "device")
    data = next((row.result["accuracy"] for row in rows if row.result["accuracy"]), None)
    on = f"accuracy on {data.get('dataset') or 'unnamed'}" if data else "only speed"
    graph.link(file, graph.node(3, facts["sha256"], told, on))


def _data_node(graph: "_Graph", fingerprint: Any, what: str, metadata: dict[str, Any]) -> int:
    validation = _object(_object(metadata.get("metrics")).get("validation"))
    known = validation.get("dataset_fingerprint") == fingerprint
    title = str(validation.get("dataset") or what) if known else what
    return graph.node(0, str(fingerprint), title, f"fingerprint {_short(fingerprint)}")


def _object(value: Any) -> dict[str, Any]:
    """Metadata is foreign: what is no object tells nothing."""
    return value if isinstance(value, dict) else {}


def _short(fingerprint: Any) -> str:
    return str(fingerprint).rpartition(":")[2][:SHORT_HASH]


class _Graph:
    """Boxes in columns; equal keys of a column are one box."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, str], int] = {}
        self._texts: list[tuple[int, str, str]] = []
        self._links: dict[tuple[int, int], None] = {}

    def node(self, column: int, key: str, title: str, detail: str) -> int:
        number = self._nodes.setdefault((column, key), len(self._texts))
        if number == len(self._texts):
            self._texts.append((column, title, detail))
        return number

    def link(self, first: int, second: int) -> None:
        self._links[first, second] = None

    def drawn(self, *, left_out: int) -> Lineage:
        used: list[int] = [0] * len(COLUMNS)
        tallest = max(sum(column == c for column, _, _ in self._texts) for c in range(len(COLUMNS)))
        nodes = []
        for column, title, detail in self._texts:
            count = sum(column == c for c, _, _ in self._texts)
            middle = (tallest - count) * ROW_STEP // 2  # short columns stand in the middle
            nodes.append(
                Node(
                    x=column * COLUMN_STEP,
                    y=TOP + middle + used[column] * ROW_STEP,
                    title=_cut(title, TITLE_CHARACTERS),
                    detail=_cut(detail, DETAIL_CHARACTERS),
                    whole=f"{title}: {detail}",
                )
            )
            used[column] += 1
        return Lineage(
            width=(len(COLUMNS) - 1) * COLUMN_STEP + BOX_WIDTH,
            height=TOP + tallest * ROW_STEP,
            columns=[(i * COLUMN_STEP, name) for i, name in enumerate(COLUMNS)],
            nodes=nodes,
            links=[_curve(nodes[a], nodes[b]) for a, b in self._links],
            left_out=left_out,
        )


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _curve(first: Node, second: Node) -> str:
    """From the right end of one box to the left end of another."""
    x0, y0 = first.x + BOX_WIDTH, first.y + BOX_HEIGHT // 2
    x1, y1 = second.x, second.y + BOX_HEIGHT // 2
    bend = (x0 + x1) // 2
    return f"M{x0} {y0}C{bend} {y0} {bend} {y1} {x1} {y1}"
