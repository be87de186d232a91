"""What the pages say makes a result again, does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sae_core as sc
from pages._ui.reproduce import commands
from tests.pages.conftest import ROOT


@pytest.mark.parametrize("stage", ["run", *sc.pipeline.STAGES])
def test_the_command_line_and_the_python_find_the_same_artifacts(
    stage: str, demo_cache: Path, sweep_cache: Path, judged_cache: Path
) -> None:
    cache = {"sweep": sweep_cache, **dict.fromkeys(("strokes", "geometry", "directions", "scan"), judged_cache)}.get(
        stage, demo_cache
    )
    run = next(run for run in sc.pipeline.runs(sc.Store(cache)) if (stage == "sweep") == (run.config.sweep is not None))
    shell, python = commands(stage, run.id, cache)
    assert python.count("\n") == 2, "three lines"

    words = shlex.split(shell)
    assert words[:3] == ["python", "-m", "sae_core"]
    done = subprocess.run(
        [sys.executable, *words[1:], "--json"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    result = json.loads(done.stdout)
    if stage == "run":
        made_by_run = {key for node, key in run.keys.items() if node.partition(":")[0] not in sc.pipeline.ON_REQUEST}
        assert {one["key"] for one in result["stages"]} == made_by_run
        assert all(one["cached"] for one in result["stages"])
    elif "key" in result:
        assert result["key"] == run.keys[stage]
        assert result["cached"]

    scope: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(python, scope)
    made = scope["run"]
    assert isinstance(made, sc.pipeline.Run)
    assert made.id == run.id
    assert all(outcome.cached for outcome in made.outcomes.values())
    assert printed.getvalue().strip() == str(made.metrics)


def test_a_path_with_a_space_is_quoted() -> None:
    shell, python = commands("train", "run-0123456789abcdef", "my cache")
    file = "my cache/runs/run-0123456789abcdef/config.yaml"
    assert shlex.split(shell)[3:] == ["train", "--config", file, "--cache", "my cache"]
    assert repr(file) in python
    assert "cache='my cache'" in python
