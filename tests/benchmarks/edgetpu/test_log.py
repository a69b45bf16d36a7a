"""The compiler's log in the forms that its versions print it, and text that is nothing of it."""

import random

import pytest

from asmnet_kit.benchmarks.edgetpu.log import FAILURES, SUCCESS, TableRow, parse_log

VERSION_16 = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 3129 ms.

Input model: efficientdet_lite0.tflite
Input size: 4.35MiB
Output model: efficientdet_lite0_edgetpu.tflite
Output size: 5.66MiB
On-chip memory used for caching model parameters: 4.49MiB
On-chip memory remaining for caching model parameters: 3.01MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 267
Operation log: efficientdet_lite0_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of \
the model will instead run on the CPU, which is slower.
Number of operations that will run on Edge TPU: 264
Number of operations that will run on CPU: 3

Operator                       Count      Status

ADD                            42         Mapped to Edge TPU
QUANTIZE                       10         Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
DEQUANTIZE                     2          Operation is working on an unsupported data type
Compilation child process completed within timeout period.
Compilation succeeded!
"""

VERSION_2 = """Edge TPU Compiler version 2.0.267685300

Model compiled successfully in 33 ms.

Input model: mobilenet.tflite
Input size: 512.00B
Output model: mobilenet_edgetpu.tflite
Output size: 1.50KiB
On-chip memory available for caching model parameters: 6.25MiB
On-chip memory used for caching model parameters: 1.00MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 31
Operation log: mobilenet_edgetpu.log
See the operation log file for individual operation details.
"""

LOG_FILE = """Edge TPU Compiler version 15.0.340273435
Input: mnist4.tflite
Output: mnist4_edgetpu.tflite

Operator                       Count      Status

RESHAPE                        1          Mapped to Edge TPU
CONV_2D                        2          Mapped to Edge TPU
DEQUANTIZE                     1          Operation is working on an unsupported data type
"""

RETRIES = """Edge TPU Compiler version 16.0.384591198
Searching for valid delegate with step 1
Try to compile segment with 33 ops
Started a compilation timeout timer of 180 seconds.
ERROR: :129 std::abs(input_product_scale - bias_scale) was not true.
Compilation failed!
Try to compile segment with 32 ops
Model compiled successfully in 100 ms.
Input model: a.tflite
Total number of operations: 33
"""


def test_version_16_with_its_table():
    log = parse_log(VERSION_16)
    assert (log.version, log.succeeded, log.failures) == ("16.0.384591198", True, ())
    (model,) = log.models
    assert model.compile_ms == 3129
    assert model.input_model == "efficientdet_lite0.tflite"
    assert model.input_bytes == round(4.35 * 2**20)
    assert model.remaining_bytes == round(3.01 * 2**20)
    assert model.streamed_bytes == 0
    assert (model.total_ops, model.tpu_ops, model.cpu_ops) == (267, 264, 3)
    assert [row.count for row in model.table if row.op == "QUANTIZE"] == [10, 1]
    assert model.table[0] == TableRow("ADD", 42, "Mapped to Edge TPU")


def test_version_2_says_available_and_a_full_mapping_prints_no_counts():
    (model,) = parse_log(VERSION_2).models
    assert model.remaining_bytes == round(6.25 * 2**20)
    assert (model.input_bytes, model.output_bytes) == (512, 1536)
    assert (model.total_ops, model.tpu_ops, model.cpu_ops) == (31, 31, 0)


def test_a_log_file_is_counted_from_its_table():
    log = parse_log(LOG_FILE)
    (model,) = log.models
    assert (model.input_model, model.output_model) == ("mnist4.tflite", "mnist4_edgetpu.tflite")
    assert (model.total_ops, model.tpu_ops, model.cpu_ops) == (4, 3, 1)
    assert not log.succeeded  # a .log file does not say; the output's success sentence does


def test_several_models_stay_apart():
    assert [m.input_model for m in parse_log(LOG_FILE + LOG_FILE).models] == ["mnist4.tflite"] * 2
    both = parse_log(VERSION_2 + VERSION_16.partition("\n")[2])
    assert [m.total_ops for m in both.models] == [31, 267]


def test_a_retry_that_fails_before_a_success_is_a_success():
    log = parse_log(RETRIES)
    assert log.succeeded
    assert log.models[-1].total_ops == 33
    assert "bias_scale" in log.reason


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: Attempting to use a delegate that only supports static-sized tensors",
        "Compilation failed: Compilation failed due to large activation tensors in model.",
        "Invalid model: mobilenet.tflite",
        "Model not quantized",
        "Model could not be parsed",
        "Internal compiler error. Aborting! ",
        "Segmentation fault (core dumped)",
    ],
)
def test_each_failure_is_one_line(line):
    log = parse_log(f"Edge TPU Compiler version 14.1.317412892\n{line}\nCompilation failed!\n")
    assert not log.succeeded
    assert log.reason == line.strip()


def test_no_row_of_the_table_is_dropped_for_being_strange():
    log = parse_log(
        "Model compiled successfully in 12 ms!\n\nOperator   Count   Status\n\n"
        "CONV_2D    5   Mapped to Edge TPU\nMy Custom Op   2   Operation not supported\n"
        "MYSTERY    3\nCONV_2D 999999999999 Mapped\nSOFTMAX    1   Mapped to Edge TPU\n"
    ).models[-1]
    assert [(row.op, row.count) for row in log.table] == [
        ("CONV_2D", 5), ("My Custom Op", 2), ("MYSTERY", 3), ("SOFTMAX", 1),
    ]  # fmt: skip
    assert log.unread == ("CONV_2D 999999999999 Mapped",)


def test_strange_text_never_raises():
    generator = random.Random(0)
    pieces = [*VERSION_16.splitlines(), *RETRIES.splitlines(), *LOG_FILE.splitlines(), *FAILURES]
    for _ in range(2000):
        lines = generator.choices(pieces, k=generator.randrange(12))
        text = "\n".join(lines)
        characters = list(text)
        for _ in range(generator.randrange(20)):
            if characters:
                characters[generator.randrange(len(characters))] = chr(generator.randrange(0x250))
        parse_log("".join(characters))
    parse_log("Total number of operations: ²\nInput size: 1.1.1MiB\nADD 1 x\n\0\x85" + "9" * 10_000)
    assert parse_log("").reason == "it said nothing of a failure"


def test_a_size_beyond_every_number_is_no_size():
    (model,) = parse_log(
        VERSION_2.replace("Input size: 512.00B", f"Input size: {'9' * 400}B")
    ).models
    assert model.input_bytes is None
    assert model.output_bytes == 1536


def test_flipped_bits_lose_facts_and_invent_no_success():
    generator = random.Random(0)
    for text in (VERSION_16, RETRIES, LOG_FILE, *FAILURES):
        for _ in range(100):
            content = bytearray(text.encode())
            for _ in range(generator.randrange(1, 30)):
                content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
            damaged = content.decode(errors="replace")
            log = parse_log(damaged)
            assert not log.succeeded or SUCCESS in damaged
            for model in log.models:
                facts = (model.input_bytes, model.cached_bytes, model.total_ops, model.tpu_ops)
                assert all(fact is None or fact >= 0 for fact in facts)
