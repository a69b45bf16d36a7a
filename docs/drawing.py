"""Draws the pictures of docs/architecture.md as plain SVG: readable on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 900
MARGIN = 16
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# Name -> colour on a light and on a dark page. The background is drawn too, so that a page which is
# dark though the browser asks for light stays readable.
COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "panel": ("#f6f8fa", "#161b22"),
    "line": ("#d0d7de", "#3d444d"),
    "text": ("#1f2328", "#e6edf3"),
    "quiet": ("#59636e", "#9198a1"),
    "toolkit": ("#0969da", "#58a6ff"),
    "training": ("#1a7f37", "#3fb950"),
    "quantize": ("#8250df", "#bc8cff"),
    "benchmarks": ("#bc4c00", "#f0883e"),
}


@dataclass(frozen=True)
class Floor:
    """One room of a stage.

    Attributes:
        name: as it is shown.
        about: what it holds, one line.
        uses: names of the floors of this stage that an arrow goes to.
        is_folder: a folder, not a file.
    """

    name: str
    about: str
    uses: tuple[str, ...]
    is_folder: bool


@dataclass(frozen=True)
class Stop:
    """One step of a journey.

    Attributes:
        stage: whose lane it is in.
        file: where the step is.
        name: of the function or class; empty for a file.
        about: what it does, one sentence.
        reached: how the step before leads here.
        gives: what it hands on.
        begins: a command begins here, later: the line to it is dashed.
    """

    stage: str
    file: str
    name: str
    about: str
    reached: str
    gives: str
    begins: bool


@dataclass
class Svg:
    """Elements of a picture, and how high they need it to be."""

    title: str
    height: float = MARGIN
    parts: list[str] = field(default_factory=list)

    def add(self, name: str, content: str = "", **attributes: object) -> None:
        given = " ".join(
            f'{key.rstrip("_").replace("_", "-")}="{_plain(value)}"'
            for key, value in attributes.items()
        )
        self.parts.append(
            f"<{name} {given}>{content}</{name}>" if content else f"<{name} {given}/>"
        )

    def text(self, x: float, y: float, content: str, style: str, anchor: str = "start") -> None:
        where = {} if anchor == "start" else {"text_anchor": anchor}
        self.add("text", escape(content, quote=False), x=x, y=y, class_=style, **where)

    def page(self) -> str:
        """The whole file."""
        height = _plain(self.height)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{_style()}</style>",
                f'<rect width="{WIDTH}" height="{height}" rx="8" class="paper"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | int) else escape(str(value))


def _style() -> str:
    def rules(shade: int) -> str:
        ink = {name: colours[shade] for name, colours in COLOURS.items()}
        return "".join(
            f".{name}{{fill:{colour}}}.{name}-line{{stroke:{colour}}}"
            for name, colour in ink.items()
        )

    fonts = (
        f"text{{font:12px {FONT}}}.code{{font:12px {MONO}}}.small{{font-size:11px}}"
        ".strong{font-weight:600}.head{font-size:14px;font-weight:600}"
        ".number{font-size:9px;font-weight:600}path{fill:none}"
    )
    return f"{fonts}{rules(0)}@media(prefers-color-scheme:dark){{{rules(1)}}}"


ROW = 22  # of a floor
NAMES = 98  # where the names of floors start
TEXTS = 258  # where what they hold starts
ARCS = 756  # where arrows between floors start
GUTTER = (20, 38, 56, 74)  # lanes of the arrows between stages


def house(
    stages: Sequence[tuple[str, Sequence[Floor]]], arrows: Sequence[tuple[str, str, int]]
) -> str:
    """Every stage as a block of floors, highest first.

    Args:
        stages: name and floors, from the top of the picture down.
        arrows: between stages: from, to, number of room pairs.
    """
    svg = Svg("The rooms of asmnet-kit, highest first; arrows go from a room to one it imports")
    ends: dict[str, tuple[float, float]] = {}
    for stage, floors in stages:
        top = svg.height
        bottom = top + 30 + ROW * len(floors) + 6
        ends[stage] = (top, bottom)
        svg.add(
            "rect", x=NAMES - 10, y=top, width=WIDTH - NAMES + 10 - MARGIN, height=bottom - top,
            rx=6, class_="panel line-line",
        )  # fmt: skip
        svg.add("rect", x=NAMES - 10, y=top, width=4, height=bottom - top, rx=2, class_=stage)
        svg.text(NAMES, top + 20, f"{stage}/", f"head {stage}")
        _floors(svg, stage, floors, top + 30)
        svg.height = bottom + 14
    for row, (lane, (source, target, count)) in enumerate(zip(GUTTER, arrows, strict=True)):
        # Apart by the row, so that lines that leave or enter one block do not lie on each other.
        start, end = (ends[stage][0] + 12 + 11 * row for stage in (source, target))
        edge = NAMES - 11
        path = f"M{edge} {start:g}H{lane}V{end:g}H{edge - 5}"
        svg.add("path", d=path, class_=f"{source}-line", stroke_width=1.6)
        _head(svg, edge, end, source, leftwards=False)
        middle = (start + end) / 2
        svg.add(
            "text", str(count), x=lane - 4, y=middle, class_=f"small {source}",
            transform=f"rotate(-90 {lane - 4} {middle:g})", text_anchor="middle",
        )  # fmt: skip
    svg.height += MARGIN - 14
    return svg.page()


def _floors(svg: Svg, stage: str, floors: Sequence[Floor], top: float) -> None:
    middle = {floor.name: top + ROW * (row + 0.5) for row, floor in enumerate(floors)}
    for row, floor in enumerate(floors):
        if row:
            y = top + ROW * row
            svg.add("path", d=f"M{NAMES} {y:g}H{ARCS - 8}", class_="line-line", opacity=0.6)
        y = middle[floor.name] + 4
        shown = f"{floor.name}/" if floor.is_folder else f"{floor.name}.py"
        svg.text(NAMES, y, shown, "code text strong" if floor.is_folder else "code quiet")
        svg.text(TEXTS, y, floor.about, "text" if floor.is_folder else "quiet")
    for floor in floors:
        for used in floor.uses:
            start, end = middle[floor.name] + 3, middle[used] - 3
            reach = min(ARCS + 14 + 11.0 * abs(end - start) / ROW, WIDTH + 28)
            path = f"M{ARCS} {start:g}C{reach:g} {start:g} {reach:g} {end:g} {ARCS + 5} {end:g}"
            svg.add("path", d=path, class_=f"{stage}-line", stroke_width=1.3, opacity=0.8)
            _head(svg, ARCS, end, stage, leftwards=True)


def _head(svg: Svg, x: float, y: float, stage: str, *, leftwards: bool) -> None:
    back = x + 7 if leftwards else x - 7
    svg.add(
        "polygon", points=f"{x:g},{y:g} {back:g},{y - 3.5:g} {back:g},{y + 3.5:g}", class_=stage
    )


STEP = 44  # of a stop
LANE = 90  # between the lanes of two stages


def journey(title: str, stages: Sequence[str], stops: Sequence[Stop]) -> str:
    """The stops of a journey under each other, each in the lane of its stage.

    Args:
        stages: the lanes, from the left.
    """
    svg = Svg(title)
    lanes = {stage: MARGIN + 30 + LANE * index for index, stage in enumerate(stages)}
    text = MARGIN + LANE * len(stages) + 8
    top = MARGIN + 34
    svg.height = top + STEP * len(stops) + MARGIN - 8
    for stage, x in lanes.items():
        svg.text(x, MARGIN + 10, stage, f"head {stage}", "middle")
        svg.add(
            "path", d=f"M{x} {MARGIN + 20}V{svg.height - MARGIN:g}", class_=f"{stage}-line",
            stroke_dasharray="2 5", opacity=0.5,
        )  # fmt: skip
    at = [(lanes[stop.stage], top + STEP * index + 8) for index, stop in enumerate(stops)]
    for stop, (x0, y0), (x1, y1) in zip(stops[1:], at, at[1:], strict=False):
        bend = (y0 + y1) / 2
        path = f"M{x0} {y0:g}C{x0} {bend:g} {x1} {bend:g} {x1} {y1:g}"
        dashes = {"stroke_dasharray": "3 4"} if stop.begins else {}
        svg.add("path", d=path, class_="quiet-line", stroke_width=2.5, opacity=0.55, **dashes)
    for number, (stop, (x, y)) in enumerate(zip(stops, at, strict=True), start=1):
        svg.add("circle", cx=x, cy=y, r=9, class_=stop.stage)
        svg.text(x, y + 3.2, str(number), "number paper", "middle")
        name = f'<tspan class="text strong" dx="8">{escape(stop.name)}</tspan>' if stop.name else ""
        svg.add("text", escape(stop.file) + name, x=text, y=y, class_=f"code {stop.stage}")
        svg.text(text, y + 17, stop.about, "text")
        right = WIDTH - MARGIN
        svg.text(right, y, stop.gives, "code small text", "end")
        svg.text(right, y + 17, stop.reached, "small quiet", "end")
    return svg.page()
