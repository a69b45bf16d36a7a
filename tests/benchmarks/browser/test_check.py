"""What check and doctor say of the browser, by the commands a user types."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks.browser import chromium, litert_js
from asmnet_kit.cli import main


def checked(model: Path | str, target: str = "browser") -> dict[str, Any]:
    done = CliRunner().invoke(main, ["check", str(model), "--target", target, "--json"])
    assert done.exit_code == 0, done.output
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_an_int8_model_runs_whole_by_a_twin_of_the_same_bits() -> None:
    outcome = checked("asmnet_nano_people_68_112_qat_w8a8")
    assert (outcome["verdict"], outcome["mapped"]) == ("full", outcome["total"])
    assert outcome["parity"] == {"inputs": 10, "max_levels": 0, "mean_levels": 0.0}
    assert outcome["tool"]["version"] == litert_js.VERSION
    assert "twin" in outcome["notes"][0]


def test_a_float_model_runs_as_it_is() -> None:
    outcome = checked("asmnet_plus_people_68_112_fp16", "browser:wasm-threads")
    assert (outcome["target"], outcome["verdict"]) == ("browser:wasm-threads", "full")
    assert outcome["parity"] is None and not any("twin" in note for note in outcome["notes"])


def test_custom_operators_and_inputs_of_unknown_values_are_refused(make_op_model: Any) -> None:
    custom = {"custom": "Mine", "into": [1, 8], "shape": [1, 8]}
    outcome = checked(make_op_model(custom))
    assert (outcome["verdict"], outcome["mapped"]) == ("refused", 0)
    assert outcome["refusal"]["reason"] == "Mine is a custom operator"
    assert outcome["first_blocking"]["op"] == "Mine"
    # An integer without a scale stands for a real value that nobody knows.
    plain = {"op": "RELU", "into": [1, 8], "shape": [1, 8], "type": "int32"}
    outcome = checked(make_op_model(plain))
    assert outcome["verdict"] == "refused" and "int32" in outcome["refusal"]["reason"]


def test_an_int8_model_without_a_signature_has_a_twin_of_the_same_names(make_op_model: Any) -> None:
    outcome = checked(make_op_model({"op": "RELU", "into": [1, 8], "shape": [1, 8]}))
    assert outcome["verdict"] == "full"
    assert outcome["parity"] == {"inputs": 10, "max_levels": 0, "mean_levels": 0.0}


def test_webgpu_cannot_be_told_without_running_it() -> None:
    words = ["check", "asmnet_nano_people_68_112_qat_w8a8", "--target", "browser:webgpu"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "benchmark measures on browser:webgpu" in done.output


def test_without_a_browser_doctor_says_how_to_get_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(chromium.ENVIRONMENT, raising=False)
    monkeypatch.setattr(chromium, "PROGRAMS", ("no-such-browser",))
    monkeypatch.setenv(litert_js.ENVIRONMENT, str(tmp_path))
    monkeypatch.setitem(sys.modules, "segno", None)
    done = CliRunner().invoke(main, ["doctor", "--json"])
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    litert = found[f"Browser: LiteRT.js {litert_js.VERSION}"]
    assert litert["status"] == "missing" and "litert_js" in litert["fix"]
    assert found["Browser: Chromium"]["fix"] == "sudo apt-get install chromium"
    assert found["Browser: the extra web"]["needed_for"].startswith("share: a code to scan")
