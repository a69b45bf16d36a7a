"""Bytes and rows outside of memory: what comes back, also where no file can be written."""

import errno
import os

import numpy as np
import pytest

from asmnet_kit.base import spool
from asmnet_kit.base.spool import Rows, Spool

CONTENT = bytes(range(256)) * 4


def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Writes fail once the file has ``after`` bytes; the last one before that is cut short."""

    def write(descriptor: int, content: bytes, start: int, real=os.pwrite) -> int:
        if start >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(content)[: after - start], start)

    monkeypatch.setattr(os, "pwrite", write)


@pytest.mark.parametrize("space", [None, 0, 300, 700])
def test_any_part_comes_back(monkeypatch: pytest.MonkeyPatch, space: int | None) -> None:
    monkeypatch.setattr(spool, "BLOCK", 200)
    if space is not None:
        full_disk(monkeypatch, after=space)
    stored = Spool()
    for start in range(0, len(CONTENT), 50):
        stored.append(CONTENT[start : start + 50])
    assert len(stored) == len(CONTENT)
    for start in (0, 150, 299, 650, 1000, len(CONTENT)):
        for length in (0, 1, 24, len(CONTENT) - start):
            length = min(length, len(CONTENT) - start)
            assert stored.read(start, length) == CONTENT[start : start + length]


def test_without_a_folder_for_temporary_files_all_stays_in_memory(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(spool, "BLOCK", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    stored = Spool()
    stored.append(CONTENT)
    stored.append(CONTENT)
    assert stored.read(1000, 48) == (CONTENT + CONTENT)[1000:1048]


def test_rows_come_back_one_by_one_in_parts_and_together(monkeypatch) -> None:
    monkeypatch.setattr(spool, "BLOCK", 64)
    values = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    rows = Rows(np.float32, (2, 3))
    assert rows.all().shape == (0, 2, 3)
    rows.append(values[:4])
    rows.append(values[4:])
    assert len(rows) == 10
    assert np.array_equal(rows.all(), values)
    assert np.array_equal(rows.row(7), values[7])
    assert [len(part) for part in rows.parts(4)] == [4, 4, 2]
    assert np.array_equal(np.concatenate([*rows.parts(4)]), values)
