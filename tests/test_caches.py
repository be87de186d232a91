"""What many tests look at is made once, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.caches import made_once

ROOT = Path(__file__).parents[1]
MAKER = """
import sys
from pathlib import Path
from tests.caches import made_once

def make(folder):
    folder.mkdir()
    with Path(sys.argv[2]).open("a") as log:
        log.write("made\\n")

made_once(Path(sys.argv[1]), make)
"""


def test_a_folder_half_made_is_made_again_from_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        made_once(tmp_path / "cache", fail)
    assert not (tmp_path / "cache").exists()
    assert made_once(tmp_path / "cache", Path.mkdir) == tmp_path / "cache"
    assert list((tmp_path / "cache").iterdir()) == []


def test_processes_that_ask_at_once_share_one(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAKER, str(tmp_path / "cache"), str(tmp_path / "log")]
    workers = [subprocess.Popen(words, cwd=ROOT) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert (tmp_path / "cache").is_dir()
    assert (tmp_path / "log").read_text() == "made\n"
