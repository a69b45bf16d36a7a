"""Notes of C++ code are swallowed, and nothing else, whichever threads are inside at once."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.predict.detector import detect_faces


def stderr_of(script: str) -> str:
    """What a Python process of its own writes to stderr; ``native`` writes as C++ code does."""
    head = (
        "import os, sys, threading\n"
        "from asmnet_kit.base.silent_stderr import silent_stderr\n"
        "def native(text): os.write(2, text.encode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, check=True
    )
    return done.stderr


def test_a_block_swallows_what_is_written_in_it_and_nothing_around_it() -> None:
    script = (
        "native('before ')\n"
        "with silent_stderr():\n"
        "    native('note ')\n"
        "    print('of Python', file=sys.stderr)\n"
        "native('after ')\n"
        "print('end', end='', file=sys.stderr)\n"
    )
    assert stderr_of(script) == "before after end"


def test_blocks_that_overlap_leave_stderr_as_it_was() -> None:
    """The first to enter is the first to leave, while the second is still inside."""
    script = (
        "first, second = silent_stderr(), silent_stderr()\n"
        "first.__enter__()\n"
        "def inside():\n"
        "    with silent_stderr():\n"
        "        entered.set(); left.wait()\n"
        "        native('note ')\n"
        "entered, left = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=inside); thread.start()\n"
        "entered.wait(); first.__exit__(None, None, None)\n"
        "native('of C++ in the meantime ')\n"
        "print('of another thread', file=sys.stderr)\n"
        "left.set(); thread.join()\n"
        "native('after')\n"
    )
    assert stderr_of(script) == "of another thread\nafter"


def test_an_error_in_a_block_ends_it() -> None:
    script = (
        "try:\n"
        "    with silent_stderr():\n"
        "        raise ValueError\n"
        "except ValueError:\n"
        "    native('after')\n"
    )
    assert stderr_of(script) == "after"


def test_a_progress_bar_of_another_thread_goes_on() -> None:
    """rich asks for sys.stderr at each drawing, and wraps it while a bar is shown."""
    script = (
        "from rich.console import Console\n"
        "from rich.progress import Progress\n"
        "bar = Progress(console=Console(stderr=True, force_terminal=True), auto_refresh=False)\n"
        "def inside():\n"
        "    with silent_stderr():\n"
        "        entered.set(); left.wait()\n"
        "entered, left = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=inside); thread.start()\n"
        "entered.wait()\n"
        "bar.start(); bar.add_task('seen', total=2); bar.stop()\n"
        "left.set(); thread.join()\n"
        "print('after', file=sys.stderr)\n"
        "with silent_stderr(): print('note', file=sys.stderr)\n"
        "print('end', file=sys.stderr)\n"
    )
    written = stderr_of(script)
    assert "seen" in written
    assert "note" not in written
    assert written.endswith("after\nend\n")


def test_finding_faces_in_threads_leaves_stderr_as_it_was() -> None:
    """Each thread loads networks of its own, and loading is silent."""
    before, grey = os.fstat(2), np.full((64, 64, 3), 90, np.uint8)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detect_faces, [grey] * 8)) == [[]] * 8
    with silent_stderr():
        assert not os.path.samestat(os.fstat(2), before)
    assert os.path.samestat(os.fstat(2), before)


def test_many_threads_may_enter_and_leave_at_once() -> None:
    before, start = os.fstat(2), threading.Barrier(8)

    def enter_and_leave(_: int) -> None:
        start.wait()
        for _ in range(200):
            with silent_stderr():
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter_and_leave, range(8)))
    assert os.path.samestat(os.fstat(2), before)
