"""Embeddings are shards with receipts: whatever is killed, a rerun gives the same bytes and does nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sae_core.clip import embed
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import load_encoder
from sae_core.config import ArraySource, ClipConfig, Runtime
from sae_core.data import manifest as manifest_stage
from sae_core.data.manifest import Manifest
from sae_core.errors import Cancelled, DamagedArtifact
from sae_core.progress import Event
from sae_core.store import Inputs

CPU = Runtime(device="cpu")


@pytest.fixture(scope="module")
def config(tiny_model: Path) -> ClipConfig:
    return ClipConfig(model=f"local-dir:{tiny_model}", shard_rows=16, batch_size=8)


@pytest.fixture(scope="module")
def whole(config: ClipConfig, drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    return embed.run(config, Inputs({"manifest": drawings}), tmp_path_factory.mktemp("whole"), runtime=CPU)


def data(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "receipts").iterdir()}


def cancel_after(shards: int) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        if event.step >= shards:
            raise Cancelled("stop")

    return report


def test_rows_are_the_encoder_s(whole: Embeddings, config: ClipConfig, drawings: Path) -> None:
    assert (whole.n, whole.d, whole.site, len(whole.shards)) == (70, 16, "projected", 5)
    encoder = load_encoder(config.model, device="cpu")
    expected = encoder.images(Manifest.load(drawings).images(range(70)))
    np.testing.assert_allclose(whole.array(), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(whole.rows([69, 0, 16, 0]), whole.array()[[69, 0, 16, 0]])
    np.testing.assert_array_equal(whole.images, np.arange(70))
    assert whole.texts is None
    assert whole.encoder == encoder.id
    assert whole.weights_sha256 == encoder.weights_sha256
    assert whole.logit_scale == pytest.approx(encoder.logit_scale)
    assert whole.precision == "fp32"  # 70 images take no minute
    assert whole.metrics()["norm"] == pytest.approx(np.linalg.norm(expected, axis=1).mean(), rel=1e-5)
    with pytest.raises(IndexError):
        whole.rows([70])


def test_receipts_say_what_lies_there(whole: Embeddings) -> None:
    receipts = [json.loads(p.read_text()) for p in sorted((whole.folder / "receipts").iterdir())]
    assert [(r["shard"], r["start"], r["rows"], r["n"]) for r in receipts] == [
        (0, 0, 16, 70), (1, 16, 16, 70), (2, 32, 16, 70), (3, 48, 16, 70), (4, 64, 6, 70),
    ]  # fmt: skip
    assert [whole.folder / "shards" / f"{r['sha256']}.npy" for r in receipts] == whole.shards
    assert len({r["config_hash"] for r in receipts}) == 1


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_cancel_and_resume(config: ClipConfig, drawings: Path, whole: Embeddings, tmp_path: Path, shards: int) -> None:
    inputs = Inputs({"manifest": drawings})
    with pytest.raises(Cancelled):
        embed.run(config, inputs, tmp_path, cancel_after(shards), CPU)
    before = times(tmp_path) if shards else {}
    assert len(before) == shards
    seen: list[Event] = []
    embed.run(config, inputs, tmp_path, seen.append, CPU)
    assert data(tmp_path) == data(whole.folder)
    assert {name: when for name, when in times(tmp_path).items() if name in before} == before
    assert [event.step for event in seen] == list(range(shards, 6))


def test_killed_and_resumed(config: ClipConfig, drawings: Path, whole: Embeddings, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from sae_core.clip import embed; "
        "from sae_core.config import ClipConfig, Runtime; from sae_core.store import Inputs\n"
        "embed.run(ClipConfig.model_validate_json(sys.argv[1]), Inputs({'manifest': Path(sys.argv[2])}), Path(sys.argv[3]), "
        "lambda event: time.sleep(0.3), Runtime(device='cpu'))"
    )
    arguments = [sys.executable, "-c", program, config.model_dump_json(), str(drawings), str(tmp_path)]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 300
    while not (tmp_path / "receipts" / "00001.json").is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "shards" / ".half.npy.1.tmp").write_bytes(b"half")  # what a kill in the middle of a write leaves
    before = times(tmp_path)
    assert 2 <= len(before) < 5
    embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    assert data(tmp_path) == data(whole.folder)
    assert {name: when for name, when in times(tmp_path).items() if name in before} == before


def test_a_missing_or_short_file_is_redone(config: ClipConfig, drawings: Path, whole: Embeddings, tmp_path: Path) -> None:
    done = embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    done.shards[1].unlink()
    with done.shards[3].open("r+b") as handle:
        handle.truncate(100)
    before = times(tmp_path)
    embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    assert data(tmp_path) == data(whole.folder)
    assert {name for name, when in times(tmp_path).items() if when != before[name]} == {"00001.json", "00003.json"}


def test_another_config_starts_over(config: ClipConfig, drawings: Path, tmp_path: Path) -> None:
    embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    other = config.model_copy(update={"shard_rows": 50})
    again = embed.run(other, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    assert [len(np.load(path)) for path in again.shards] == [50, 20]
    assert len(list((tmp_path / "receipts").iterdir())) == len(list((tmp_path / "shards").iterdir())) == 2


def test_processes_give_the_same_rows(config: ClipConfig, drawings: Path, whole: Embeddings, tmp_path: Path) -> None:
    runtime = Runtime(device="cpu", executor="processes", workers=1)
    spread = embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=runtime)
    np.testing.assert_allclose(spread.array(), whole.array(), rtol=1e-4, atol=1e-6)


def test_precision_is_chosen_once(config: ClipConfig, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(embed, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(embed, "LEAST_COSINE", -1.0)
    first = embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU)
    assert first.precision == "bf16"
    kept = json.loads((tmp_path / "precision.json").read_text())
    assert kept["lowest_cosine"] > 0.99
    monkeypatch.setattr(embed, "LEAST_COSINE", 2.0)
    before = times(tmp_path)
    assert embed.run(config, Inputs({"manifest": drawings}), tmp_path, runtime=CPU).precision == "bf16"
    assert times(tmp_path) == before
    strict = tmp_path / "strict"
    assert embed.run(config, Inputs({"manifest": drawings}), strict, runtime=CPU).precision == "fp32"


def test_precomputed_embeddings_are_taken_over(shared_data: Path, tmp_path: Path) -> None:
    place = shared_data / "design-patents-2007"
    source = tmp_path / "manifest"
    manifest_stage.run(ArraySource(path=str(place)), None, source)
    taken = embed.run(ClipConfig(shard_rows=300), Inputs({"manifest": source}), tmp_path / "out", runtime=CPU)
    np.testing.assert_array_equal(taken.array(), np.load(place / "image_embeddings.npy"))
    np.testing.assert_array_equal(taken.texts, np.load(place / "text_embeddings.npy"))
    assert (taken.encoder, taken.weights_sha256, len(taken.shards)) == ("ViT-B-32/openai", None, 4)


def test_no_embeddings(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtifact, match="run the embed stage again"):
        Embeddings.load(tmp_path)
