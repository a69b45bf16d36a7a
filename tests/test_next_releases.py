"""``make test-next`` groups what breaks by reason; installing and running is for the machine."""

from pathlib import Path
from types import ModuleType

import pytest
from scripts import load_script

RESULTS = """<testsuites><testsuite>
<testcase classname="tests.a" name="one"/>
<testcase classname="tests.a" name="two"><failure message="KeyError: 0x7f3a in /tmp/a/b1.py"/></testcase>
<testcase classname="tests.b" name="three"><failure message="KeyError: 0x11 in /tmp/c/d.py"/></testcase>
<testcase classname="tests.b" name="four"><error>ImportError: no quantize_wrapper
more</error></testcase>
<testcase classname="tests.b" name="five"><skipped message="no data"/></testcase>
</testsuite></testsuites>
"""  # noqa: E501


@pytest.fixture
def next_releases() -> ModuleType:
    return load_script("tests/next_releases.py")


def test_failures_of_one_reason_stand_together_and_the_most_come_first(
    next_releases: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.xml"
    results.write_text(RESULTS)
    broken = next_releases.report(results, {"tensorflow": ("tf-nightly", "2.23.0.dev1")})
    assert broken == 3
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Tried with tf-nightly 2.23.0.dev1",
        "1 passed, 3 broke, 1 skipped",
        "",
        "2 x KeyError: ... in ...",
        "    tests.a::two",
        "    tests.b::three",
        "",
        "1 x ImportError: no quantize_wrapper",
        "    tests.b::four",
    ]


def test_the_kits_other_requirements_are_taken_as_they_are(next_releases: ModuleType) -> None:
    """Not those of the Coral board, which want NumPy 1."""
    wanted = [text.split(";")[0] for text in next_releases.other_requirements()]
    names = {text.split(">")[0].split("<")[0].split("=")[0] for text in wanted}
    assert {"numpy", "click", "matplotlib", "pytest"} <= names
    assert not names & {*next_releases.NIGHTLIES, "tflite-runtime"}
    assert "numpy<2" not in wanted


def test_a_development_environment_is_not_touched(
    next_releases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_releases.sys, "prefix", "/home/me/asmnet-kit/.venv")
    with pytest.raises(SystemExit, match="use make test-next"):
        next_releases.main()
