"""The wording of a message is asserted in one place: one test, or a line of wording.py."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("toolkit", "training", "quantize", "benchmarks")
HOLE = "\0"  # where a message has a value
SPECIAL = re.compile(r"\.\*|\.\+|\\d\+?|\[[^]]*\]|[|()]|\0")  # of regular expressions
SHORTEST = 12  # characters that are wording, not a name or an option
MESSAGE = 25  # characters: shorter text is a title or a key


def text_of(node: ast.expr) -> str:
    """A string as the source has it, HOLE for every value in it; "" for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or HOLE for part in node.values)
    return ""


def messages(root: Path) -> dict[str, str]:
    """file:line -> text, of every sentence that a call of the kit's code is given."""
    found = {}
    for path in (path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for argument in node.args if isinstance(node, ast.Call) else ():
                text = text_of(argument)
                if len(text) > MESSAGE and " " in text:
                    found[f"{path.relative_to(root)}:{argument.lineno}"] = text
    return found


def asserted(test: ast.FunctionDef) -> Iterator[str]:
    """The words that a test looks for: of ``match=`` and of ``"..." in output``."""
    for node in ast.walk(test):
        words = ""
        if isinstance(node, ast.keyword) and node.arg == "match":
            words = text_of(node.value)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            words = text_of(node.left).replace("|", HOLE)
        for part in SPECIAL.split(words):
            part = part.replace("\\", "").strip()
            if len(part) >= SHORTEST and " " in part:
                yield part


def asserting_tests() -> dict[str, set[str]]:
    """Message -> the tests that look for words of it; words of several messages tell of none."""
    known, tests = messages(ROOT), defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for words in asserted(node):
                    of = [place for place, message in known.items() if words in message]
                    if len(of) == 1:
                        tests[of[0]].add(f"{path.relative_to(ROOT)}::{node.name}")
    return tests


def test_no_two_tests_assert_the_wording_of_one_message() -> None:
    found = asserting_tests()
    assert len(found) > 50  # it does look
    twice = {message: sorted(tests) for message, tests in found.items() if len(tests) > 1}
    assert twice == {}, "put the words into tests/wording.py"


def test_wording_is_found_in_patterns_and_comparisons() -> None:
    code = """
def test_x():
    with raises(E, match=r"got \\\\d+ of several .*expected a whole sentence"):
        pass
    assert "words of another message" in result.stderr and "short" in text
"""
    (test,) = ast.parse(code).body
    assert isinstance(test, ast.FunctionDef)
    assert sorted(asserted(test)) == ["expected a whole sentence", "words of another message"]
