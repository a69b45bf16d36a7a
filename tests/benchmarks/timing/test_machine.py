"""Facts of the machine, read from texts of known machines and from this one."""

import json
import subprocess
import sys
import time

import pytest

from asmnet_kit.benchmarks.timing.machine import (
    CpuUse,
    container_hints,
    disturbances,
    machine_facts,
    peak_rss_bytes,
)
from asmnet_kit.machine.cpu import cpu_model, instruction_sets

XEON = """processor	: 0
model name	: Intel(R)   Xeon(R) Processor
flags		: fpu sse4_1 avx avx2 avx512f avx512_vnni amx_int8 hypervisor
processor	: 1
flags		: fpu
"""

RASPBERRY_PI_5 = """processor	: 0
BogoMIPS	: 108.00
Features	: fp asimd evtstrm aes crc32 atomics fphp asimdhp asimddp
CPU implementer	: 0x41
CPU part	: 0xd0b
processor	: 1
CPU part	: 0xd0b
"""


def test_a_xeons_name_and_instruction_sets():
    assert cpu_model(XEON) == "Intel(R) Xeon(R) Processor"
    assert instruction_sets(XEON) == [
        "sse4.1",
        "avx",
        "avx2",
        "avx512f",
        "avx512_vnni",
        "amx_int8",
    ]


def test_an_arm_cpu_is_named_by_its_part_number():
    assert cpu_model(RASPBERRY_PI_5) == "Cortex-A76"
    assert instruction_sets(RASPBERRY_PI_5) == ["neon", "fp16", "dotprod"]


def test_big_and_little_cores_are_both_named():
    text = "CPU implementer : 0x41\nCPU part : 0xd05\nCPU part : 0xd41\nCPU part : 0xfff\n"
    assert cpu_model(text) == "Cortex-A55 + Cortex-A78 + Arm part 0xfff"


def test_a_virtual_machine_is_recognised():
    assert "virtual machine" in container_hints(XEON)
    assert "virtual machine" not in container_hints(RASPBERRY_PI_5)


def test_the_facts_of_this_machine_are_json():
    facts = machine_facts()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["cores"] >= facts["usable_cores"] >= 1
    assert facts["memory_bytes"] > 1e8


def test_other_processes_are_noticed():
    before = CpuUse(machine_busy_s=0.0, process_s=0.0, wall_s=0.0, frequency_mhz=2000)
    after = CpuUse(machine_busy_s=1e6, process_s=1.0, wall_s=1.0, frequency_mhz=1000)
    reasons = disturbances(before, after, threads=1)
    assert any("other processes" in reason for reason in reasons)
    assert any("from 2000 to 1000 MHz" in reason for reason in reasons)


def test_more_threads_than_cores_are_noticed():
    still = CpuUse(machine_busy_s=0.0, process_s=0.0, wall_s=0.0, frequency_mhz=None)
    assert any("10000 threads" in reason for reason in disturbances(still, still, threads=10_000))


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_a_childs_peak_memory_is_its_own_not_its_parents():
    ballast = bytearray(b"1") * 200_000_000  # written to, so resident
    code = (
        "from asmnet_kit.benchmarks.timing.machine import peak_rss_bytes as p\n"
        "before = p(); x = bytearray(b'1' * 100_000_000); print(before, p())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, out.stdout.split())
    assert len(ballast) > before
    # b'1' * n and its copy: at least one of 100 MB is counted, whatever the allocator reuses.
    assert after - before > 90_000_000
    assert (peak_rss_bytes() or 0) > before


def test_cpu_time_of_a_few_milliseconds_is_counted():
    before = CpuUse.now()
    busy_until = time.process_time() + 0.002
    while time.process_time() < busy_until:
        pass
    used = CpuUse.now().process_s - before.process_s
    assert used >= 0.002  # in ticks of 10 ms it would be 0, or 10 ms at once
    assert used != pytest.approx(round(used, 2), abs=1e-7)
