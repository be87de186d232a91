"""Public mode with a folder of visitors of its own, and the small demo with other settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sae_core as sc
from sae_core import jobs
from tests.caches import small_config


@pytest.fixture(autouse=True)
def in_public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Public mode with a folder of visitors; returns the folder."""
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    monkeypatch.setenv("SAE_LAB_VISITORS", str(tmp_path / "visitors"))
    return tmp_path / "visitors"


def changed(**changes: Any) -> sc.RunConfig:
    """The small demo with other settings, by dotted name."""
    raw = small_config().model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split("__")
        node = raw
        for part in path:
            node = node[part]
        node[last] = value
    return sc.config.validate(sc.RunConfig, raw, "test")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def held_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers that are at work until the test is over: other processes in the place of real ones, which would end."""
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def popen(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        folder = Path(argv[argv.index("--job") + 1])
        process = begin([sys.executable, "-c", "import time; time.sleep(3600)"])
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps({**status, "state": "running", "pid": process.pid}))
        started.append(process)
        return process

    monkeypatch.setattr(jobs.subprocess, "Popen", popen)
    yield started
    for process in started:
        process.kill()
        process.wait()
