"""Nothing is lost or doubled when indexing is killed: see killing.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import draw_folder


@pytest.mark.skipif(not hasattr(sys, "setprofile") or sys.platform == "win32", reason="needs fork and SIGKILL")
def test_six_kills_at_random_moments_leave_what_an_undisturbed_run_leaves(tmp_path: Path, encoder_folder: Path) -> None:
    media = draw_folder(tmp_path / "media", 30)
    (media / "boats" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    command = [sys.executable, "-m", "tests.killing", str(tmp_path), str(encoder_folder), "6", "3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said == {"kills": 6, "wrong": [], "items": 91}
