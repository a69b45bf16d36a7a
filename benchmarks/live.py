"""What a shelf of devices does at the moment: a live table, or plain lines where stderr is none."""

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asmnet_kit.base.console import clean, stderr
from asmnet_kit.benchmarks.protocol import Request

BAR_WIDTH = 20  # characters
REFRESHES_PER_SECOND = 4


@dataclass
class Row:
    """One queue. What happens is told by ``event``, what goes on by the attributes.

    Attributes:
        device: names of its devices.
        total: how many measurements it has; ``done`` of them are over.
        state: waits, cools, measures, accuracy, retries, finished.
        doing: the model and the target.
        temperature: degrees Celsius; None where it is not known.
        share: of the measurement, 0..1.
        note: what the measurement is at.
    """

    device: str
    total: int
    console: Console | None
    done: int = 0
    state: str = "waits"
    doing: str = ""
    temperature: float | None = None
    share: float = 0.0
    note: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, request: Request) -> None:
        """The next measurement."""
        self.doing = f"{request.model.name}, {request.target} x{request.threads}"
        self.note, self.share = "", 0.0

    def progress(self, share: float, note: str) -> None:
        """As ``protocol.OnProgress``."""
        self.share, self.note = share, note

    def event(self, state: str, text: str) -> None:
        """Something that a log should have, too."""
        self.state, self.note = state, text
        if self.console is not None:
            with self.lock:
                self.console.print(
                    clean(f"{self.device}: {self.doing}: {state}: {text}"), markup=False
                )


class LiveTable:
    """A context manager; on a terminal it shows a row for each queue."""

    def __init__(self) -> None:
        self._console = stderr()
        self._rows: list[Row] = []
        self._stack = ExitStack()
        self._lock = threading.Lock()  # lines of several threads

    def add(self, device: str, total: int) -> Row:
        """A row for a queue."""
        console = None if self._console.is_terminal else self._console
        self._rows.append(Row(device, total, console, lock=self._lock))
        return self._rows[-1]

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            live = Live(
                get_renderable=self.table,
                console=self._console,
                refresh_per_second=REFRESHES_PER_SECOND,
            )
            self._stack.enter_context(live)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def table(self) -> Table:
        """The rows as they are now."""
        table = Table(box=None)
        for heading in ("device", "done", "state", "model", "°C", "", "note"):
            table.add_column(heading, no_wrap=heading != "note")
        for row in self._rows:
            warm = "-" if row.temperature is None else f"{row.temperature:.1f}"
            table.add_row(
                Text(clean(row.device)),
                f"{row.done}/{row.total}",
                row.state,
                Text(clean(row.doing)),
                warm,
                ProgressBar(100, 100 * row.share, width=BAR_WIDTH),
                Text(clean(row.note)),
            )
        return table
