"""A comparison in the forms that CI systems read: JUnit XML and GitHub's annotations."""

from pathlib import Path
from xml.etree import ElementTree

from asmnet_kit.base.console import clean
from asmnet_kit.base.files import write_bytes
from asmnet_kit.benchmarks.comparing.compare import (
    GONE,
    NME,
    PARITY,
    POSE,
    SLOWER,
    UNCLEAR,
    WORSE,
    Comparison,
    Outcome,
)

SUITE = "asmnet-kit compare"
CASES = {NME: "accuracy", POSE: "pose", PARITY: "parity"}


def write_junit(outcome: Outcome, path: Path) -> None:
    """Write JUnit XML: a case for each missing result, and for each comparison's latency and those
    of accuracy, pose and parity that the first side has.
    """
    cases = [case for c in outcome.comparisons for case in _cases(c)]
    cases += [
        _case(name, "presence", failure=f"{name} was not measured") for name in outcome.missing
    ]
    failures = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=SUITE,
        tests=str(len(cases)),
        failures=str(failures),
        errors="0",
        skipped=str(skipped),
    )
    suite.extend(cases)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    write_bytes(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def github_lines(outcome: Outcome) -> list[str]:
    """Workflow commands: an error for each regression, a warning for what is unclear."""
    lines = []
    for c in outcome.comparisons:
        level = "error" if c.failed else "warning" if UNCLEAR in c.verdicts else "notice"
        lines.append(_annotation(level, c.name, "; ".join(c.messages)))
        lines += [_annotation("warning", c.name, text) for text in c.warnings]
    lines += [_annotation("error", name, "not measured any more") for name in outcome.missing]
    return lines


def _cases(comparison: Comparison) -> list[ElementTree.Element]:
    seconds = comparison.new_ms / 1e3
    messages = dict(zip(comparison.verdicts, comparison.messages, strict=True))
    latency = _case(
        comparison.name,
        "latency",
        seconds=seconds,
        failure=messages.get(SLOWER),
        skipped=messages.get(UNCLEAR),
    )
    measured = [
        kind
        for kind in CASES
        if comparison.increase(kind) is not None or GONE[kind] in comparison.verdicts
    ]
    return [
        latency,
        *(
            _case(
                comparison.name,
                CASES[kind],
                failure=messages.get(WORSE[kind]) or messages.get(GONE[kind]),
            )
            for kind in measured
        ),
    ]


def _case(
    name: str,
    what: str,
    *,
    seconds: float = 0.0,
    failure: str | None = None,
    skipped: str | None = None,
) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"{SUITE}.{what}", name=str(clean(name)), time=f"{seconds:.6f}"
    )
    if failure is not None:
        ElementTree.SubElement(case, "failure", message=str(clean(failure)))
    elif skipped is not None:
        ElementTree.SubElement(case, "skipped", message=str(clean(skipped)))
    return case


def _annotation(level: str, title: str, message: str) -> str:
    return f"::{level} title={_escaped(title, ':,')}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """GitHub's own escapes, without which a text could end the command or start another."""
    escaped = str(clean(text)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        escaped = escaped.replace(character, f"%{ord(character):02X}")
    return escaped
