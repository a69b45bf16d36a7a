"""``asmnet-kit share``: serve a page that measures models in a phone's browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.base.install import install_command
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.commands.options import TFLITE, InputPath, ModelPath, NumberRange, OnceCommand

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.browser.job import SharedModel
    from asmnet_kit.benchmarks.browser.people import SentPeople
    from asmnet_kit.benchmarks.browser.server import PageServer
    from asmnet_kit.benchmarks.protocol import Request

MAX_PORT = 65_535
MAX_PEOPLE = 500  # of the set that models are measured on; 19 MB of int8 crops
MAX_RESULTS = 200  # that one server takes: a page that goes mad fills no disk
POLL_S = 0.5
SLACK_S = 1e-3  # of sums of a page's times
ADVICE_AFTER_S = 60.0  # without a visit
# An address of documentation (RFC 5737): connecting a datagram socket sends nothing, and tells by
# which of this machine's addresses the network would be reached.
ELSEWHERE = ("192.0.2.1", 9)


@click.command(cls=OnceCommand, short_help="Try and measure .tflite models in a phone's browser.")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=ModelPath(TFLITE))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the result files.")
@click.option(
    "--export",
    "exported",
    type=click.Path(path_type=Path),
    help="Write the page into this folder, for any static host, instead of serving it.",
)
@click.option(
    "--read",
    "downloaded",
    multiple=True,
    type=InputPath("a result that an exported page downloaded"),
    help="Check this result of an exported page and write it to --out; may be given several times.",
)
@click.option(
    "--lan",
    is_flag=True,
    help="Serve the local network by https, with a new certificate.  [default: this machine only]",
)
@click.option(
    "--port",
    type=click.IntRange(min=0, max=MAX_PORT),
    default=0,
    help="Port of the page.  [default: a free one]",
)
@click.option(
    "--results",
    "wanted",
    type=click.IntRange(min=0),
    help="Stop after this many results; 0: run until Ctrl-C.  [default: one for each MODEL]",
)
@click.option(
    "--minutes",
    type=NumberRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Stop after this many minutes.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=MAX_THREADS),
    default=2,
    show_default=True,
    help="Threads of the accelerator wasm-threads.",
)
@click.option(
    "--warmup",
    "warmup_runs",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Minimum number of warm-up runs.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Minimum number of timed runs.",
)
@click.option(
    "--seconds",
    "min_seconds",
    type=NumberRange(min=0),
    default=2.0,
    show_default=True,
    help="Minimum duration of the timed runs, in seconds.",
)
@click.option(
    "--sustained",
    "sustained_minutes",
    type=NumberRange(min=0),
    default=1.0,
    show_default=True,
    help=(
        "Keep running for this many minutes after the timed runs, to see whether the phone "
        "throttles."
    ),
)
@click.option(
    "--people",
    type=click.IntRange(min=0, max=MAX_PEOPLE),
    default=48,
    show_default=True,
    help="Measure the NME on this many rendered people; 0: none.",
)
def share(
    models: tuple[Path, ...],
    out: Path | None,
    exported: Path | None,
    downloaded: tuple[Path, ...],
    lan: bool,
    port: int,
    wanted: int | None,
    minutes: float,
    people: int,
    **protocol: Any,
) -> None:
    """Run MODEL in a phone's browser: landmarks on the camera picture, and its speed there.

    \b
    Examples:
      A phone on a cable:  adb reverse tcp:8000 tcp:8000
                           asmnet-kit share model.tflite --port 8000 --out results
      A phone by Wi-Fi:    asmnet-kit share model.tflite --lan --out results
      Any static host:     asmnet-kit share model.tflite --export page
                           asmnet-kit share model.tflite --read downloaded.json --out results

    Scan the printed code with a phone, choose an accelerator and touch Measure: nothing is
    installed there. The result is written to --out at once, like those of asmnet-kit benchmark,
    and checked on this machine. Pictures never leave the phone.
    """
    from collections import ChainMap
    from contextlib import ExitStack

    from asmnet_kit.base.console import stderr
    from asmnet_kit.base.files import require_writable
    from asmnet_kit.benchmarks.browser import litert_js
    from asmnet_kit.benchmarks.browser.certificate import certificate_for
    from asmnet_kit.benchmarks.browser.export import export
    from asmnet_kit.benchmarks.browser.job import ACCELERATORS, detector_blobs, job
    from asmnet_kit.benchmarks.browser.people import SentPeople
    from asmnet_kit.benchmarks.browser.server import LOOPBACK, Content, PageServer
    from asmnet_kit.benchmarks.protocol import Request

    folder = litert_js.require(litert_js.default_folder())
    if (out is None) == (exported is None):
        raise UsageError("expected either --out, for results, or --export, for the page's files")
    if exported is not None and lan:
        raise UsageError("--lan serves a page, --export writes its files: give one of them")
    require_writable(out or exported or Path())
    max_seconds = max(Request.max_seconds, protocol["min_seconds"])
    results = _Results(out or Path(), elsewhere=bool(downloaded))
    for model in dict.fromkeys(models):
        request = Request(model, "browser:wasm", max_seconds=max_seconds, **protocol)
        results.add(request, SentPeople.of(model, people))
    shared = [model for model, _ in results.models.values()]
    content = Content(
        job(shared, accelerators=ACCELERATORS, auto=False),
        {**detector_blobs(), **dict(ChainMap(*(model.blobs() for model in shared)))},
        {"result": results.take, "failed": results.failed},
        folder,
        small=True,
    )
    messages = stderr()
    if exported is not None:
        size = export(content, exported)
        messages.print(
            f"{exported}: the page, {size / 1e6:.1f} MB; serve it as it is", markup=False
        )
        return
    if downloaded:
        for path in downloaded:
            posted = _read(path)
            earlier = results.written_as(posted)
            if earlier is not None:
                messages.print(
                    f"{path}: read already, as {earlier}: nothing is written", markup=False
                )
            else:
                results.take(posted)
        return
    with ExitStack() as stack:
        certificate = None
        host = _lan_address() if lan else LOOPBACK
        if lan:
            made = stack.enter_context(certificate_for(host))
            certificate = (made.certificate, made.key)
        server = PageServer(content, host=host, port=port, certificate=certificate)
        stack.enter_context(server)
        for line in _code(server.address):
            click.echo(line, err=True)
        click.echo(server.address)
        if certificate is not None:
            messages.print(
                "The phone will warn about the new certificate: accept it if its "
                f"SHA-256 fingerprint is {made.fingerprint}",
                markup=False,
            )
        else:
            messages.print(
                f"For this machine only. A phone on a cable: adb reverse tcp:{server.port} "
                f"tcp:{server.port}; by Wi-Fi: --lan",
                markup=False,
            )
        results.wait(len(shared) if wanted is None else wanted, server, minutes=minutes, lan=lan)
    if not results.written:
        raise KitError(f"no result within {minutes:g} minutes: was Measure touched on the page?")


class _Results:
    """What pages post, judged and written to ``out``.

    Args:
        elsewhere: the page ran without this server, at another time and by its own protocol.
    """

    def __init__(self, out: Path, *, elsewhere: bool = False) -> None:
        import time

        self._elsewhere = elsewhere
        self.models: dict[str, tuple[SharedModel, SentPeople | None]] = {}  # by their SHA-256
        self._out = out
        self._started = time.monotonic()
        self.written: list[Path] = []

    def add(self, request: "Request", people: "SentPeople | None") -> None:
        """A model to serve, and on whom its accuracy is measured."""
        from asmnet_kit.benchmarks.browser.job import SharedModel
        from asmnet_kit.tflite.reader import read_graph
        from asmnet_kit.tflite.runtime import refuse_unsized

        refuse_unsized(read_graph(request.model), request.model)
        model = SharedModel.of(request, None if people is None else people.inputs)
        self.models[model.sha256] = (model, people)

    def take(self, posted: Any) -> dict[str, Any]:
        """Judge and write what a page measured; what the page then shows.

        Raises:
            KitError: it cannot be believed, or is of no model of this server.
        """
        import time
        from dataclasses import asdict, replace

        from asmnet_kit.base.console import stderr
        from asmnet_kit.benchmarks.browser.job import MACHINE, refuse_unmeasured
        from asmnet_kit.benchmarks.runner import model_facts, result_file_name, result_of
        from asmnet_kit.results.results import save_result

        measured = refuse_unmeasured(posted)
        if self.written_as(posted) is not None:
            raise UsageError("this very result has been written already: measure again")
        if len(self.written) >= MAX_RESULTS:
            raise UsageError(f"{MAX_RESULTS} results have been written: start share again")
        if measured["model"] not in self.models:
            raise UsageError("the page measured a model that is not served here: load it again")
        served, people = self.models[measured["model"]]
        model = served.by_protocol_of(measured)
        if not self._elsewhere and model.request != served.request:
            raise UsageError("the page measured by another protocol: load it again")
        measured_at = _time_of(measured)
        request = replace(
            model.request,
            target=f"{MACHINE}:{measured['accelerator']}",
            threads=measured["threads"],  # of what ran: one, but for wasm-threads
        )
        facts = model_facts(request.model)
        if facts["sha256"] != model.sha256:
            raise KitError(f"{request.model}: the file was replaced while it was served")
        result = result_of(
            request,
            facts,
            asdict(model.measurement(measured)),
            wall_s=_limit_s(measured) if self._elsewhere else time.monotonic() - self._started,
            command=_command(request.model, measured),
        )
        if self._elsewhere:
            result["measured_at"] = measured_at
        if people is not None:
            result["accuracy"] = people.accuracy(
                model.outputs(measured),
                target=request.target,
                kernels=result["runtime"]["kernels"],
            )
        earlier = {path.name for path in self._out.glob("*.json")}
        taken = {path.name for path in self.written}
        path = self._out / result_file_name(result, taken=taken, earlier=earlier - taken)
        save_result(path, result)
        self.written.append(path)
        stderr().print(f"{path}: p50 {result['summary']['p50']:.2f} ms", markup=False)
        return {
            "file": path.name,
            "parity": result["parity"],
            "nme_percent": (result["accuracy"] or {}).get("nme_percent"),
            "warnings": result["warnings"],
        }

    def written_as(self, posted: Any) -> Path | None:
        """The result of this very measurement; None where there is none.

        Raises:
            ResultError: as ``refuse_unmeasured``.
        """
        from asmnet_kit.base.reading import read_text
        from asmnet_kit.benchmarks.browser.job import refuse_unmeasured

        nonce = refuse_unmeasured(posted)["nonce"]
        found = (path for path in sorted(self._out.glob("*.json")) if nonce in read_text(path))
        return next(found, None)

    def failed(self, posted: Any) -> dict[str, Any]:
        """Tell of a page's failure; the server goes on."""
        from asmnet_kit.base.console import clean, shortened, stderr

        told = posted.get("error") if isinstance(posted, dict) else None
        stderr().print(f"the page failed: {shortened(str(clean(told)))}", markup=False)
        return {}

    def wait(self, wanted: int, server: "PageServer", *, minutes: float, lan: bool) -> None:
        """Until so many results are there (0: never), the time is over, or Ctrl-C."""
        import math
        import time

        from asmnet_kit.base.console import stderr

        ends = self._started + 60 * minutes
        advise_at = time.monotonic() + ADVICE_AFTER_S
        try:
            while time.monotonic() < ends and not (wanted and len(self.written) >= wanted):
                time.sleep(POLL_S)
                if time.monotonic() > advise_at and not server.visited:
                    stderr().print(_advice(server.port, lan=lan), markup=False)
                    advise_at = math.inf  # once
            time.sleep(POLL_S)  # the last answer is on its way
        except KeyboardInterrupt:
            if not self.written:
                raise


def _read(path: Path) -> Any:
    """
    Raises:
        ResultError: it is no JSON.
    """
    from asmnet_kit.base.reading import read_text
    from asmnet_kit.results.results import ResultError, parse_json

    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise ResultError(f"{path}: expected JSON, but {error}") from error


def _limit_s(measured: dict[str, Any]) -> float:
    """The longest that a page's timed runs can add up to, seconds: it looks at its limit after each
    batch of runs."""
    last_s = measured["batch"] * measured["invoke_ms"][-1] / 1000
    return float(measured["protocol"]["max_seconds"] + last_s + SLACK_S)


def _time_of(measured: dict[str, Any]) -> str:
    """When the page measured, by its own clock, as results have it.

    Raises:
        UsageError: there is no such time, or it lies ahead.
    """
    from datetime import datetime, timedelta, timezone

    posted = measured["measured_at"]
    try:
        time = datetime.fromisoformat(posted.replace("Z", "+00:00"))
    except ValueError as error:
        raise UsageError(f"expected a time in measured_at, got {posted}: {error}") from error
    if time > datetime.now(timezone.utc) + timedelta(days=1):
        raise UsageError(f"the page measured at {posted}, which lies ahead: is its clock right?")
    return time.isoformat(timespec="seconds")


def _command(model: Path, measured: dict[str, Any]) -> str:
    import shlex

    return shlex.join(["asmnet-kit", "share", model.name, "--out", "results"])


def _advice(port: int, *, lan: bool) -> str:
    """What to look at when no browser has come."""
    if lan:
        return (
            "Nobody has opened the page. Is the phone in the same Wi-Fi, no guest network (they "
            "keep devices apart), without a VPN or mobile data in its place? Does a firewall here "
            f"close port {port}? By cable: asmnet-kit share without --lan, and adb reverse"
        )
    return (
        "Nobody has opened the page. This address is of this machine alone: a phone on a cable "
        f"needs adb reverse tcp:{port} tcp:{port} and then http://localhost:{port}/ with all that "
        "follows #; a phone by Wi-Fi needs --lan"
    )


def _lan_address() -> str:
    """This machine's address in the local network.

    Raises:
        UsageError: it is in none.
    """
    import socket

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(ELSEWHERE)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise UsageError(f"--lan: this machine is in no network: {error.strerror}") from error


def _code(address: str) -> list[str]:
    """The lines of a QR code, or how to get one."""
    import io

    try:
        import segno
    except ImportError:
        return [f"{install_command('web')} prints a code to scan here, too"]
    text = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(out=text, border=2, compact=True)
    return text.getvalue().splitlines()
