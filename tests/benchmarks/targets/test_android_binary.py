"""A phone measured with benchmark_model, played by a scripted adb; and what that program prints."""

import json
import random
import subprocess
import sys

import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks.protocol import RemoteError, Request
from asmnet_kit.benchmarks.targets.android import ANDROID
from asmnet_kit.benchmarks.targets.android_binary import STARTS
from asmnet_kit.benchmarks.targets.benchmark_tool import OutputError, Replaced, parse_output
from asmnet_kit.benchmarks.targets.runtime_info import RuntimeInfoError, parse_runtime_info
from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result

# As the program prints it, with made-up figures: versions of 2019 and of today.
OLD = """STARTING!
Num threads: [1]
Loaded model /data/local/tmp/m.tflite
Initialized session in 9.933ms
Running benchmark for at least 4 iterations and at least 0.2 seconds
count=7 first=127425 curr=66709 min=66709 max=127425 avg=76605.9 std=20944

Running benchmark for at least 10 iterations and at least 1 seconds
count=15 first=66753 curr=66800 min=66699 max=66838 avg=66767.6 std=39

Inference timings in us: Init: 9933, First inference: 127425, Warmup (avg): 76605.9, \
Inference (avg): 66767.6
"""
NEW = """INFO: STARTING!
INFO: #threads used for CPU inference: [2]
INFO: Loaded model /data/local/tmp/m.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 29 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 \
partitions for subgraph 0.
INFO: Initialized session in 1.5ms.
INFO: count=120 first=900 curr=800 min=790 max=900 avg=801 std=9 p5=791 median=800 p95=820

INFO: count=40 first=805 curr=799 min=790 max=9e+06 avg=2.25e+05 std=9 p5=791 median=801 p95=820

INFO: Inference timings in us: Init: 1500, First inference: 900, Warmup (avg): 801, \
Inference (avg): 2.25e+05
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=2.5
"""
APPLIED = (
    "INFO: Explicitly applied {} delegate, and the model graph will be {} executed by the "
    "delegate.\n"
)
NOT_APPLIED = (
    "INFO: Though {} delegate is explicitly applied, the model graph will not be executed by the "
    "delegate.\n"
)

ADB = """#!{python}
import json, os, shlex, shutil, sys
root = {root!r}
words = sys.argv[1:]
open(root + "/calls.log", "a").write(json.dumps(words) + "\\n")
if words == ["devices"]:
    print("List of devices attached\\nR58\\tdevice"); sys.exit(0)
verb, rest = words[2], words[3:]
phone = root + "/phone"
if verb == "push":
    shutil.copyfile(rest[0], phone + rest[1])
    sys.exit(0)
if verb == "exec-out":
    sys.stdout.buffer.write(open(phone + rest[1], "rb").read())
    sys.exit(0)
command = [word for word in shlex.split(rest[0]) if "_LIBRARY_PATH=" not in word[:20]]
if command[0] == "mkdir":
    os.makedirs(phone + command[2])
elif command[0] == "rm":
    shutil.rmtree(phone + command[2])
elif command[0] == "test":
    sys.exit(0 if os.path.exists(phone + command[2]) else 1)
elif command[0] == "chmod":
    os.chmod(phone + command[2], 0o755)
elif command[0] == "getprop":
    print(open(root + "/properties.txt").read())
elif command[0] == "cat":
    print("processor : 0\\nFeatures : fp asimd asimddp i8mm")
elif command[0].endswith("/benchmark_model"):
    if not os.access(phone + command[0], os.X_OK):
        sys.exit("not executable")
    told = [word for word in command if word.startswith("--model_runtime_info_output_file=")]
    if os.path.exists(root + "/info.pb"):
        shutil.copyfile(root + "/info.pb", phone + told[0].partition("=")[2])
    sys.stdout.write(open(root + "/says.txt").read())
    sys.exit(int(open(root + "/code.txt").read()))
"""
PROPERTIES = """[ro.product.manufacturer]: [Maker]
[ro.product.model]: [A phone [x]]
[ro.soc.model]: [SM0000]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
nonsense
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A function that says what the program on the phone prints, and the folder it plays in."""
    root = tmp_path / "adb-root"
    (root / "phone" / "data" / "local" / "tmp").mkdir(parents=True)
    adb = tmp_path / "adb"
    adb.write_text(ADB.format(python=sys.executable, root=str(root)))
    adb.chmod(0o755)
    monkeypatch.setenv("ADB", str(adb))
    (root / "properties.txt").write_text(PROPERTIES)

    def says(text, code=0):
        (root / "says.txt").write_text(text)
        (root / "code.txt").write_text(str(code))

    says.root = root
    return says


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "android_aarch64_benchmark_model"
    path.write_bytes(b"\x7fELF and so on")
    return path


def _run(model, program, out, *more):
    words = ["benchmark", model, "--target", "android", "--benchmark-model", program, "--out", out]
    return CliRunner().invoke(main, [str(word) for word in (*words, *more)])


def test_the_new_versions_output_is_read():
    outcome = parse_output(NEW)
    assert (outcome.runs, outcome.warmup_runs) == (40, 120)
    assert (outcome.middle_ms, outcome.is_median) == (0.801, True)
    assert (outcome.load_ms, outcome.first_ms) == (1.5, 0.9)
    assert outcome.replaced == (Replaced(29, 31, "TfLiteXNNPackDelegate"),)
    assert outcome.memory_bytes == 2.5 * 2**20
    assert outcome.applied == ()


def test_the_old_versions_output_has_a_mean_alone():
    outcome = parse_output(OLD)
    assert (outcome.runs, outcome.warmup_runs, outcome.is_median) == (15, 7, False)
    assert outcome.middle_ms == pytest.approx(66.7676)
    assert outcome.replaced == () and outcome.memory_bytes is None


def test_a_delegate_counts_as_applied_when_it_runs_something():
    text = APPLIED.format("GPU", "partially") + NOT_APPLIED.format("NNAPI") + NEW
    assert parse_output(text).applied == ("GPU",)
    names = "INFO: NNAPI accelerators available: [some-npu,nnapi-reference]\n"
    assert parse_output(names + NEW).accelerators == ("some-npu", "nnapi-reference")


@pytest.mark.parametrize(
    "text",
    ["", "STARTING!\n", NEW.replace("Init: 1500, ", ""), NEW.replace("median=801", "median=nan"),
     NEW.replace("count=40", "count=" + "9" * 5000), NEW.replace("First inference: 900", "First")],
)  # fmt: skip
def test_output_that_is_no_finished_benchmark_is_refused(text):
    with pytest.raises(OutputError):
        parse_output(text)


def test_damaged_output_is_read_or_refused():
    generator = random.Random(0)
    for _ in range(2000):
        damaged = bytearray((APPLIED.format("GPU", "partially") + NEW + OLD).encode())
        for _ in range(generator.randrange(1, 30)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if generator.random() < 0.3:
            del damaged[generator.randrange(len(damaged)) :]
        try:
            outcome = parse_output(damaged.decode(errors="replace"))
        except OutputError:
            continue
        assert outcome.middle_ms > 0
    # Long rows of beginnings without an end: a pattern that tries every one of them hangs here.
    for piece in (
        "count=1 a=",
        "a=b=",
        "[",
        "Replacing 1 out of ",
        "Inference timings in us: Init: ",
    ):
        with pytest.raises(OutputError):
            parse_output(piece * (300_000 // len(piece)))


def test_a_phones_figures_come_back_labelled(phone, program, make_tflite, tmp_path):
    phone(NEW)
    run = _run(make_tflite(), program, tmp_path / "r", "--threads", 2, "--runs", 400)
    assert run.exit_code == 0, run.output
    result = load_result(tmp_path / "r" / "constant_android-cpu_R58_2t_benchmark_model.json")
    target = result["target"]
    assert (target["requested"], target["actual"]) == ("android:cpu", "android:cpu")
    assert (target["tool"], target["delegated_ops"]) == ("benchmark_model", 29)
    assert result["timings_ms"]["invoke"] == [0.801] * STARTS
    assert result["protocol"]["runs"] == 40 * STARTS
    assert result["protocol"]["sample"].startswith("median of the runs")
    assert any("hide slow single runs" in warning for warning in result["warnings"])
    assert result["machine"]["device"] == "Maker A phone [x]"
    assert result["machine"]["instruction_sets"] == ["neon", "dotprod", "i8mm"]
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    starts = [call[3] for call in calls if "--graph=" in call[-1]]
    assert len(starts) == STARTS
    for flag in ("--num_threads=2", "--num_runs=40", "--use_xnnpack=true", "2>&1"):
        assert flag in starts[0]
    assert list((phone.root / "phone/data/local/tmp").iterdir()) == []  # nothing stays there


@pytest.mark.parametrize(
    ("kind", "log", "fine"),
    [
        ("gpu", APPLIED.format("GPU", "completely"), True),
        ("gpu", NOT_APPLIED.format("GPU"), False),
        ("gpu", "", False),
        ("nnapi", APPLIED.format("NNAPI", "partially"), True),
        (
            "nnapi",
            "NNAPI accelerators available: [nnapi-reference]\n"
            + APPLIED.format("NNAPI", "completely"),
            False,
        ),
    ],
)
def test_an_accelerator_must_be_in_the_programs_log(
    phone, program, make_tflite, tmp_path, kind, log, fine
):
    phone(log + NEW)
    words = ["benchmark", make_tflite(), "--target", f"android:{kind}", "--out", tmp_path / "r"]
    words += ["--benchmark-model", program]
    run = CliRunner().invoke(main, [str(word) for word in words])
    assert run.exit_code == (0 if fine else 1), run.output
    if not fine:
        assert f"android:{kind} was asked for, android:cpu ran the model" in run.output


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("benchmark_model: not found\n", 127, "ended with 127: benchmark_model: not found"),
        ("ERROR: Failed to load model\n", 0, "Failed to load model"),
        (NEW[:300], 0, "expected 'count=...'"),
    ],
)
def test_a_program_that_fails_is_one_clear_error(phone, program, make_tflite, text, code, message):
    phone(text, code)
    options = {"benchmark_model": str(program)}
    with pytest.raises(RemoteError, match="benchmark_model") as caught:
        ANDROID.measure(Request(make_tflite(), target="android", options=options), lambda *_: None)
    assert message in str(caught.value)


@pytest.mark.parametrize("option", [["--profile"], ["--sustained", 1], ["--single-stream"]])
def test_what_the_program_has_no_way_to_do_is_refused(
    phone, program, make_tflite, tmp_path, option
):
    phone(NEW)
    run = _run(make_tflite(), program, tmp_path / "r", *option)
    assert run.exit_code == 2
    assert f"benchmark_model has no {option[0]}: leave it out" in run.output
    assert not (phone.root / "calls.log").exists()


def test_what_is_no_program_is_refused(phone, program, make_tflite, tmp_path):
    phone(NEW)
    run = _run(make_tflite(), make_tflite("x.tflite"), tmp_path / "r")
    assert run.exit_code == 1
    assert "expected TensorFlow Lite's benchmark_model for Android" in run.output
    words = [
        "benchmark",
        make_tflite(),
        "--benchmark-model",
        make_tflite(),
        "--out",
        tmp_path / "r",
    ]
    run = CliRunner().invoke(main, [str(word) for word in words])
    assert run.exit_code == 2
    assert "--benchmark-model is for the targets android" in run.output


def _varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _field(number, value):
    """A field of a protocol buffer: a number, text or a message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def runtime_info(total, **delegates):
    """``runtime_info.pb`` of a graph whose operators delegates took, each the next ``count``."""
    nodes, owners, first = b"", {}, 0
    for number, (name, count) in enumerate(delegates.items()):
        taken = range(first, first + count)
        owners |= dict.fromkeys(taken, total + number)
        packed = b"".join(_varint(i) for i in taken)
        details = _field(1, name) + _field(2, packed)
        nodes += _field(3, _field(1, total + number) + _field(2, name) + _field(8, details))
        first += count
    own = b""
    for number in range(total):
        node = (_field(1, number) if number else b"") + _field(2, "CONV_2D")
        own += _field(3, node + (_field(9, owners[number]) if number in owners else b""))
    graph = own + nodes + _field(5, 1) + _field(6, "subgraph_0")
    return _field(1, "model") + _field(2, graph) + _field(2, _field(1, 1) + _field(5, 2))


def test_the_file_of_the_program_tells_how_many_nodes_each_delegate_took():
    info = parse_runtime_info(runtime_info(300, DispatchDelegate=297, TfLiteXNNPackDelegate=2))
    assert info.total == 300
    assert info.delegated == {"DispatchDelegate": 297, "TfLiteXNNPackDelegate": 2}
    assert info.taken_by("dispatch") == ("DispatchDelegate", 297)
    assert parse_runtime_info(runtime_info(3)).delegated == {}


# In a process of its own: other packages of a test run may bring protocol buffers of these names.
BY_PROTOBUF = """
import sys
from ai_edge_litert import model_runtime_info_pb2 as schema

details = schema.ModelRuntimeDetails(model_name="m")
graph = details.subgraphs.add(subgraph_id=0, subgraph_type=1, name="subgraph_0")
for number in range(200):
    graph.nodes.add(id=number, name="ADD", delegated_to_node_id=200)
delegate = graph.nodes.add(id=200, name="DispatchDelegate").delegate_node_details
delegate.delegate_name = "DispatchDelegate"
delegate.tflite_node_ids_replaced.extend(range(200))
graph.nodes.add(id=201, name="SIN")
sys.stdout.buffer.write(details.SerializeToString())
"""


def test_the_reader_agrees_with_the_protobuf_library_where_it_is_installed():
    written = subprocess.run([sys.executable, "-c", BY_PROTOBUF], capture_output=True, check=False)
    if b"ModuleNotFoundError" in written.stderr:
        pytest.skip("protobuf, or the schema of ai-edge-litert, is not installed")
    assert written.returncode == 0, written.stderr.decode()
    info = parse_runtime_info(written.stdout)
    assert (info.total, info.delegated) == (201, {"DispatchDelegate": 200})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cat: no such file",
        runtime_info(4, GPU=2)[:-3],
        _field(1, "model"),
        _field(2, _field(3, _field(1, 0) + _field(9, 7))),  # delegated to a node that is not there
    ],
)
def test_what_is_no_runtime_info_is_refused(content):
    with pytest.raises(RuntimeInfoError):
        parse_runtime_info(content)


def test_a_damaged_runtime_info_is_read_or_refused():
    generator = random.Random(0)
    whole = runtime_info(40, DispatchDelegate=30)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(generator.randrange(1, 9)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            info = parse_runtime_info(bytes(damaged[: generator.randrange(1, len(whole) + 1)]))
        except RuntimeInfoError:
            continue
        assert 0 <= sum(info.delegated.values()) <= info.total


def _npu(model, program, libraries, out):
    words = ["benchmark", model, "--target", "android:npu", "--benchmark-model", program]
    words += ["--npu-libraries", libraries, "--out", out]
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def libraries(tmp_path):
    folder = tmp_path / "npu"
    folder.mkdir()
    (folder / "libLiteRtDispatch_Qualcomm.so").write_bytes(b"\x7fELF")
    return folder


def test_an_npu_is_proven_by_the_file_of_the_program(
    phone, program, libraries, make_tflite, tmp_path
):
    phone(NEW)
    (phone.root / "info.pb").write_bytes(
        runtime_info(31, DispatchDelegate=29, TfLiteXNNPackDelegate=2)
    )
    run = _npu(make_tflite(), program, libraries, tmp_path / "r")
    assert run.exit_code == 0, run.output
    (path,) = (tmp_path / "r").glob("*.json")
    target = load_result(path)["target"]
    assert (target["actual"], target["delegate"]) == ("android:npu", "DispatchDelegate")
    assert (target["delegated_ops"], target["total_ops"]) == (29, 31)
    assert any("runtime_info.pb: delegated 31 of 31 nodes" in line for line in target["proof"])
    calls = [json.loads(line) for line in (phone.root / "calls.log").read_text().splitlines()]
    assert any("libLiteRtDispatch_Qualcomm.so" in call[-1] for call in calls if "push" in call)
    start = next(call[3] for call in calls if "--graph=" in call[-1])
    assert "--use_npu=true" in start
    assert "--dispatch_library_path=/data/local/tmp/" in start


@pytest.mark.parametrize("info", [None, runtime_info(31, TfLiteXNNPackDelegate=31)])
def test_an_npu_without_its_delegate_in_the_file_is_the_cpu(
    phone, program, libraries, make_tflite, tmp_path, info
):
    phone(APPLIED.format("NPU", "completely") + NEW)  # the log alone proves nothing of an NPU
    if info is not None:
        (phone.root / "info.pb").write_bytes(info)
    run = _npu(make_tflite(), program, libraries, tmp_path / "r")
    assert run.exit_code == 1
    assert "android:npu was asked for, android:cpu ran the model" in run.output


def test_a_log_that_the_file_contradicts_is_not_believed(phone, program, make_tflite, tmp_path):
    phone(APPLIED.format("GPU", "completely") + NEW)
    (phone.root / "info.pb").write_bytes(runtime_info(31, TfLiteXNNPackDelegate=31))
    words = ["benchmark", make_tflite(), "--target", "android:gpu", "--out", tmp_path / "r"]
    words += ["--benchmark-model", program]
    run = CliRunner().invoke(main, [str(word) for word in words])
    assert run.exit_code == 1
    assert "android:gpu was asked for, android:cpu ran the model" in run.output


def test_the_app_has_no_npu_and_says_what_has(phone, make_tflite, tmp_path):
    words = ["benchmark", make_tflite(), "--target", "android:npu", "--out", tmp_path / "r"]
    run = CliRunner().invoke(main, [str(word) for word in words])
    assert (run.exit_code, "give LiteRT's own program as --benchmark-model" in run.output) == (
        2,
        True,
    )
