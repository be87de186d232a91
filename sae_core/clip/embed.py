"""The embed stage: a frozen manifest's images through CLIP, as immutable shards with receipts.

    images -> manifest -> [embeddings] -> dictionary -> ...

The unit of work, of resume and of distribution is a shard: rows `shard * shard_rows` onwards of the manifest. Whatever is
killed, a rerun does the missing shards and gives the same bytes. Precomputed embeddings are re-sharded the same way.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.shards import (
    PROJECTED,
    Embeddings,
    Receipt,
    read_receipt,
    remove_strays,
    shard_count,
    write_shard,
)
from sae_core.config import ClipConfig, Runtime, science
from sae_core.data.manifest import Manifest
from sae_core.errors import SaeLabError
from sae_core.progress import Event, Report, silent
from sae_core.scale import map_shards
from sae_core.store import Inputs, canonical, write_atomic

if TYPE_CHECKING:
    import torch

    from sae_core.clip.encoder import Encoder, Precision

__all__ = ["VERSION", "Embeddings", "run"]

VERSION = 1
QUICK_SECONDS = 60.0
"""A job that fp32 finishes within this long stays fp32, so that small runs never depend on a timing."""
SAMPLE = 32
"""Images timed to choose a precision."""
LEAST_COSINE = 0.9995
LEAST_GAIN = 1.2


def run(
    config: ClipConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Embeddings:
    """Embed every image of the manifest (or take over the embeddings it came with) into `out_dir`.

    Args:
        config: which CLIP, in which precision, batches and shards of how many rows.
        inputs: role `manifest`.
        out_dir: may hold what an earlier attempt left; finished shards are kept.
        report: told after each shard; may raise Cancelled, after which a rerun continues.
        runtime: device; `processes` spreads shards over `workers` processes.

    Raises:
        InputError: unknown model, tag or device; a picture that is gone.
        Unavailable: weights that cannot be fetched.
        Cancelled: from `report`.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.load(inputs["manifest"])
    if manifest.has_embeddings:
        return _take_over(config, manifest, out_dir, report)
    return _embed(config, inputs["manifest"], manifest, out_dir, report, runtime)


# ---------------------------------------------------------------- precomputed


def _take_over(config: ClipConfig, manifest: Manifest, out_dir: Path, report: Report) -> Embeddings:
    encoder = str(manifest.source["encoder"])
    hashed = _hash({"version": VERSION, "encoder": encoder, "n": manifest.n, "shard_rows": config.shard_rows})
    work = _Work(out_dir, manifest.n, config.shard_rows, hashed)
    _loop(work, lambda shard: work.write(shard, manifest.embedding_rows(*work.range(shard))), report, Runtime())
    texts = manifest.text_rows()
    if texts is not None:
        np.save(out_dir / "texts.npy", texts.astype(np.float32), allow_pickle=False)
    facts = {"encoder": encoder, "weights_sha256": None, "precision": None, "logit_scale": None}
    return _finish(work, facts, 0.0)


# ---------------------------------------------------------------- images through CLIP


def _embed(
    config: ClipConfig, manifest_dir: Path, manifest: Manifest, out_dir: Path, report: Report, runtime: Runtime
) -> Embeddings:
    from sae_core.clip.encoder import load_encoder

    encoder = load_encoder(config.model, config.pretrained, runtime.device)
    weights = encoder.weights_sha256
    choice = _choose_precision(config, encoder, manifest, out_dir, runtime)
    precision: Precision = choice["precision"]
    if precision != encoder.precision:
        encoder = load_encoder(config.model, config.pretrained, runtime.device, precision)
    facts = {"encoder": encoder.id, "weights_sha256": weights, "precision": precision, "logit_scale": encoder.logit_scale}
    hashed = _hash({"version": VERSION, "config": science(config), "n": manifest.n, **facts})
    work = _Work(out_dir, manifest.n, config.shard_rows, hashed)
    started = time.monotonic()
    task: Callable[[int], Receipt]
    if runtime.executor == "inline":
        task = functools.partial(_embed_shard, work, encoder=encoder, manifest=manifest, batch_size=config.batch_size)
    else:
        task = _Task(work, str(manifest_dir), config, precision, runtime.device, runtime.workers or os.cpu_count() or 1)
    done_now = _loop(work, task, report, runtime)
    return _finish(work, {**facts, "calibration": choice}, done_now / max(time.monotonic() - started, 1e-9))


@dataclass(frozen=True)
class _Task:
    """What a worker process does with a shard id: plain values only, since it is pickled."""

    work: _Work
    manifest_dir: str
    config: ClipConfig
    precision: Precision
    device: str
    workers: int

    def __call__(self, shard: int) -> Receipt:
        encoder, manifest = _in_this_process(
            self.config.model, self.config.pretrained, self.device, self.precision, self.manifest_dir, self.workers
        )
        return _embed_shard(self.work, shard, encoder, manifest, self.config.batch_size)


@functools.lru_cache(maxsize=1)
def _in_this_process(
    model: str, pretrained: str | None, device: str, precision: Precision, manifest_dir: str, workers: int
) -> tuple[Encoder, Manifest]:
    """A worker's encoder and manifest, loaded once in its life; the cores are shared among the workers."""
    import torch

    from sae_core.clip.encoder import load_encoder

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    return load_encoder(model, pretrained, device, precision), Manifest.load(manifest_dir)


def _embed_shard(work: _Work, shard: int, encoder: Encoder, manifest: Manifest, batch_size: int) -> Receipt:
    import torch

    start, stop = work.range(shard)
    rows = np.empty((stop - start, encoder.dim), dtype=np.float32)
    with torch.inference_mode():
        at = 0
        for pixels in _batches(encoder, manifest, start, stop, batch_size):
            rows[at : at + len(pixels)] = encoder.forward_pixels(pixels).cpu().numpy()
            at += len(pixels)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise SaeLabError(f"{encoder.id} gave a non-finite embedding for row {start + bad[0]}; set clip.precision: fp32")
    return work.write(shard, rows)


def _batches(encoder: Encoder, manifest: Manifest, start: int, stop: int, size: int) -> Iterator[torch.Tensor]:
    """The range's pixels batch by batch, the next one decoded while the model works on this one."""

    def load(at: int) -> torch.Tensor:
        return encoder.pixels(manifest.images(range(at, min(at + size, stop))))

    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(load, start)
        for at in range(start, stop, size):
            pixels = following.result()
            if at + size < stop:
                following = ahead.submit(load, at + size)
            yield pixels


def _choose_precision(
    config: ClipConfig, encoder: Encoder, manifest: Manifest, out_dir: Path, runtime: Runtime
) -> dict[str, Any]:
    """The precision to use and why, kept in `precision.json`, so that a resumed run goes on with the same.

    `auto` times fp32 and bf16 on the first images and takes bf16 when it is at least `LEAST_GAIN` times as fast and no
    embedding's cosine to fp32's is below `LEAST_COSINE`; a job of less than `QUICK_SECONDS` at fp32 stays fp32.
    """
    if config.precision != "auto":
        return {"precision": config.precision}
    kept = out_dir / "precision.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    pixels = encoder.pixels(manifest.images(range(min(SAMPLE, manifest.n))))
    exact, rate = _timed(encoder, pixels)
    choice: dict[str, Any] = {"precision": "fp32", "fp32_images_per_second": rate}
    if manifest.n / rate > QUICK_SECONDS:
        from sae_core.clip.encoder import load_encoder

        rough, fast = _timed(load_encoder(config.model, config.pretrained, runtime.device, "bf16"), pixels)
        cosine = float((exact * rough).sum(axis=1).min())
        choice |= {"bf16_images_per_second": fast, "lowest_cosine": cosine}
        if cosine >= LEAST_COSINE and fast >= LEAST_GAIN * rate:
            choice["precision"] = "bf16"
    write_atomic(kept, json.dumps(choice).encode())
    return choice


def _timed(encoder: Encoder, pixels: torch.Tensor) -> tuple[NDArray[np.float64], float]:
    """Unit embeddings of the pixels, float64 [n, d], and images a second (the better of two runs after a warm-up)."""
    import torch

    best = float("inf")
    with torch.inference_mode():
        for _ in range(3):
            started = time.perf_counter()
            rows = encoder.forward_pixels(pixels).cpu().numpy().astype(np.float64)
            best = min(best, time.perf_counter() - started)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), len(pixels) / best


# ---------------------------------------------------------------- shards


@dataclass(frozen=True)
class _Work:
    """The shards of one artifact: `n` rows, `shard_rows` each, made by what `config_hash` says."""

    out_dir: Path
    n: int
    shard_rows: int
    config_hash: str

    @property
    def count(self) -> int:
        return shard_count(self.n, self.shard_rows)

    def range(self, shard: int) -> tuple[int, int]:
        return shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.n)

    def write(self, shard: int, rows: NDArray[np.float32]) -> Receipt:
        return write_shard(self.out_dir, shard, self.range(shard)[0], self.n, rows, self.config_hash)

    def receipt(self, shard: int) -> Receipt | None:
        return read_receipt(self.out_dir, shard, self.config_hash)


def _loop(work: _Work, task: Callable[[int], Receipt], report: Report, runtime: Runtime) -> int:
    """Do the missing shards, reporting after each; returns how many rows were done now."""
    missing = [shard for shard in range(work.count) if work.receipt(shard) is None]
    step, rows, started = work.count - len(missing), 0, time.monotonic()
    report(Event("embed", step, work.count))

    def done(shard: int) -> bool:
        return work.receipt(shard) is not None

    for _, receipt in map_shards(task, missing, runtime.workers, runtime.executor, done):
        step, rows = step + 1, rows + receipt.rows
        rate = rows / max(time.monotonic() - started, 1e-9)
        report(Event("embed", step, work.count, {"images_per_second": rate}))
    return rows


def _finish(work: _Work, facts: dict[str, Any], rate: float) -> Embeddings:
    """Check that every shard is there, sweep up, and write `embeddings.json`."""
    receipts = [receipt for shard in range(work.count) if (receipt := work.receipt(shard)) is not None]
    assert len(receipts) == work.count, "a shard was reported done without a receipt"
    remove_strays(work.out_dir, receipts)
    shards = [{"file": r.file, **{k: v for k, v in asdict(r).items() if k != "config_hash"}} for r in receipts]
    arrays = [np.load(work.out_dir / receipt.file, mmap_mode="r", allow_pickle=False) for receipt in receipts]
    norm = sum(float(np.linalg.norm(a, axis=1).sum(dtype=np.float64)) for a in arrays) / work.n
    record = {"n": work.n, "d": int(arrays[0].shape[1]), "site": PROJECTED, **facts, "norm": norm, "images_per_second": rate}
    write_atomic(work.out_dir / "embeddings.json", json.dumps({**record, "shards": shards}, indent=1).encode())
    return Embeddings.load(work.out_dir)


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(record)).hexdigest()[:16]
