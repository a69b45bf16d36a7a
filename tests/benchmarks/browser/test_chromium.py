"""The browser is gone after its block, with all its processes and its profile."""

import time
from pathlib import Path

import pytest

from asmnet_kit.benchmarks.browser import chromium

# Stands for Chromium: its helper goes on writing into the profile after the browser has ended.
BROWSER = """#!/bin/sh
for word; do case $word in --user-data-dir=*) profile=${word#*=};; esac; done
(trap '' TERM; n=0; while [ -d "$profile" ]; do
    n=$((n + 1)); mkdir -p "$profile/Default/$n"; echo $n > "BEAT"; done) &
exec sleep 1000
"""


def test_helpers_that_outlive_the_browser_end_with_it_and_its_profile_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, beat = tmp_path / "tmp", tmp_path / "beat"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    browser = tmp_path / "chromium"
    browser.write_text(BROWSER.replace("BEAT", str(beat)))
    browser.chmod(0o755)
    monkeypatch.setenv(chromium.ENVIRONMENT, str(browser))
    with chromium.opened("about:blank"):
        while not list(temporary.glob("*/Default/*")):
            time.sleep(0.01)
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last, "the helper runs on"
    assert list(temporary.iterdir()) == []
