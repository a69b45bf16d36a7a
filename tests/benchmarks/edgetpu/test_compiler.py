"""Finding and running the compiler; a script that behaves like it stands in for Google's."""

import stat

import pytest

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.benchmarks.edgetpu import compiler
from asmnet_kit.benchmarks.edgetpu.compiler import (
    Compiler,
    CompilerMissing,
    compile_model,
    find_compiler,
)

SAID = """Edge TPU Compiler version 16.0.384591198

Model compiled successfully in 12 ms.

Input model: m.tflite
Total number of operations: 2
"""


@pytest.fixture
def program(tmp_path):
    """Writes a script; ``$model`` is its last argument and ``$out`` the folder after -o."""

    def write(body: str, name: str = "edgetpu_compiler"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            '#!/bin/sh\nfor a in "$@"; do [ "$last" = -o ] && out=$a; last=$a; done\n'
            f"model=$last\nbase=$(basename $model .tflite)\n{body}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture(autouse=True)
def no_compiler_of_this_machine(monkeypatch, tmp_path):
    for name in ("EDGETPU_COMPILER", "EDGETPU_COMPILER_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


@pytest.fixture
def model(edgetpu_pair):
    return edgetpu_pair[0].rename(edgetpu_pair[0].with_name("m.tflite"))


@pytest.fixture
def good(edgetpu_pair, program):
    """A compiler that succeeds."""
    return program(f"cat <<'END'\n{SAID}END\ncp {edgetpu_pair[1]} $out/${{base}}_edgetpu.tflite")


def test_a_compiled_model_is_kept_with_what_was_said_and_what_it_holds(good, model, tmp_path):
    done = compile_model(model, tmp_path / "out", compiler=find_compiler())
    assert done.path == tmp_path / "out" / "m_edgetpu.tflite"
    assert (done.model.total_ops, done.model.tpu_ops) == (2, 2)
    assert done.compiled.cpu_ops == ()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["m_edgetpu.tflite"]


def test_the_compiler_is_told_then_in_the_environment_then_on_the_path(good, program, monkeypatch):
    other = program("exit 1", name="other")
    assert find_compiler().found == "on the PATH"
    monkeypatch.setenv("EDGETPU_COMPILER", str(other))
    assert find_compiler().command == (str(other),)
    assert find_compiler(str(good)).command == (str(good),)
    with pytest.raises(UsageError, match="expected the program edgetpu_compiler"):
        find_compiler("/nowhere/edgetpu_compiler")


def test_docker_mounts_the_models_folder(program, monkeypatch, tmp_path):
    docker = program("exit 0", name="docker")
    monkeypatch.setenv("EDGETPU_COMPILER_IMAGE", "mine/compiler")
    found = find_compiler()
    assert found.arguments(tmp_path, "m.tflite") == [
        str(docker), "run", "--rm", "-v", f"{tmp_path}:/model", "-w", "/model", "mine/compiler",
        "edgetpu_compiler", "-s", "-o", "/model", "m.tflite",
    ]  # fmt: skip


def test_without_any_compiler_the_message_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerMissing, match=r"EDGETPU_COMPILER"):
        find_compiler()


FAILING = {
    "an error": ("echo 'ERROR: quantized_dimension must be in range'; exit 1", "must be in range"),
    "success without a file": (f"cat <<'END'\n{SAID}END", "without a compiled model"),
    "failure that ends with 0": ("echo 'Internal compiler error. Aborting!'", "Internal compiler"),
    "a crash": ("kill -SEGV $$", "killed by signal 11"),
    "nothing at all": ("exit 0", "its last words: nothing"),
}


@pytest.mark.parametrize("case", FAILING)
def test_whatever_goes_wrong_is_one_message_and_leaves_nothing(program, model, tmp_path, case):
    body, message = FAILING[case]
    path = program(body)
    with pytest.raises(ModelError, match=message):
        compile_model(model, tmp_path / "out", compiler=Compiler((str(path),), "test"))
    assert not (tmp_path / "out").exists()


def test_a_stub_that_some_versions_leave_is_not_taken_for_a_model(program, model, tmp_path):
    path = program(
        f"cat <<'END'\n{SAID}END\nhead -c 1000 /dev/zero > $out/${{base}}_edgetpu.tflite"
    )
    with pytest.raises(ModelError, match=r"expected a \.tflite model"):
        compile_model(model, tmp_path / "out", compiler=Compiler((str(path),), "test"))


def test_a_compiler_that_hangs_is_stopped(program, model, tmp_path):
    path = program("exec sleep 60")
    with pytest.raises(ModelError, match="did not end within 1 s"):
        compile_model(model, tmp_path, compiler=Compiler((str(path),), "t"), timeout_s=1.0)


def test_a_program_that_cannot_be_run_says_so(model, tmp_path):
    with pytest.raises(CompilerMissing, match="cannot be run"):
        compile_model(model, tmp_path, compiler=Compiler((str(tmp_path),), "test"))
    assert "x86-64 Linux only" in compiler.how_to_get() or "Debian" in compiler.how_to_get()
