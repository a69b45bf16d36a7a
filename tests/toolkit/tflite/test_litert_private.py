"""What LiteRT keeps to itself has moved: a message says which version to install."""

import re
import sys
from types import SimpleNamespace

import ai_edge_litert
import pytest
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.cli import main
from asmnet_kit.tflite.litert_private import (
    INTERPRETERS,
    ListedOperator,
    listed_operators,
    tflite_schema,
)
from asmnet_kit.tflite.runtime import RUNTIMES


def test_each_runtime_has_a_door():
    assert INTERPRETERS.keys() == RUNTIMES.keys()


def test_the_operators_of_a_plan_are_listed_by_name_and_tensors(make_tflite):
    interpreter = Interpreter(model_content=make_tflite(size=8).read_bytes())
    listed = listed_operators(interpreter, runtime="ai-edge-litert")
    assert listed == [
        ListedOperator("FULLY_CONNECTED", inputs=(0, 1, 2), outputs=(3,)),
        ListedOperator("FULLY_CONNECTED", inputs=(0, 4, 5), outputs=(6,)),
    ]


@pytest.mark.parametrize("runtime", INTERPRETERS)
@pytest.mark.parametrize(
    "interpreter",
    [SimpleNamespace(), SimpleNamespace(_get_ops_details=lambda: [{"name": "ADD"}])],
    ids=["no such method", "another answer"],
)
def test_an_interpreter_that_lists_nothing_names_the_version_to_install(interpreter, runtime):
    tried = re.escape(f"pip install '{runtime}=={INTERPRETERS[runtime].tried[-1]}'")
    with pytest.raises(MissingDependency, match=f"{runtime} .*_get_ops_details.*{tried}"):
        listed_operators(interpreter, runtime=runtime)


def test_a_missing_schema_names_the_version_to_install(monkeypatch):
    monkeypatch.delattr(ai_edge_litert, "schema_py_generated")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    with pytest.raises(MissingDependency, match=r"schema_py_generated.*ai-edge-litert==2"):
        tflite_schema()


def test_the_command_line_says_so_without_a_traceback(make_tflite, monkeypatch):
    monkeypatch.delattr(Interpreter, "_get_ops_details")
    run = CliRunner().invoke(main, ["audit", str(make_tflite())])
    assert run.exit_code == 1 and isinstance(run.exception, SystemExit)
    assert "it has no Interpreter._get_ops_details" in " ".join(run.output.split())
