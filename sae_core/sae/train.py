"""The train stage, and `train_sae` for notebooks: embeddings in, a dictionary out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.config import SPARSITY, Runtime, SaeConfig, validate
from sae_core.errors import InputError
from sae_core.progress import Event, Report, silent
from sae_core.sae import controls
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool, held_out
from sae_core.sae.formats import CONFIG, WEIGHTS, describe, load_sae, write_weights
from sae_core.sae.log import Log
from sae_core.sae.monitor import measure_split
from sae_core.sae.recipe import scaling
from sae_core.sae.rows import HELD_OUT, MOST_HELD_OUT, Rows, pick_device, training_rows
from sae_core.sae.trainer import Trainer
from sae_core.store import Inputs, canonical, write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from sae_core.clip.embed import Embeddings

VERSION = 1


class Trained:
    """A train artifact, read back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        self.training: dict[str, Any] = config["training"]
        self._metrics: dict[str, float] = config["metrics"]

    @classmethod
    def load(cls, folder: str | Path) -> Trained:
        """Read the artifact in a folder."""
        return cls(Path(folder))

    @property
    def sae(self) -> SAE:
        """The dictionary."""
        return load_sae(self.folder)

    @property
    def history(self) -> pd.DataFrame:
        """The training metrics every few steps."""
        import pandas as pd

        return pd.read_json(self.folder / "metrics.jsonl", lines=True)

    def metrics(self) -> dict[str, float]:
        """On the test rows: r2, r2_uncentred, l0, cosine, dense_fraction, loss; dead_fraction over train and test rows."""
        return dict(self._metrics)


def run(
    config: SaeConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Trained:
    """Train a dictionary on the training rows of the domains in `inputs`, resuming what a killed attempt left in `out_dir`.

    Inputs: `manifest:<domain>` and `embed:<domain>` of each domain to train on.
    Raises: InputError when domains differ in width or encoder, there are no rows, a saved state is damaged; Cancelled.
    """
    device = pick_device(runtime.device)
    out_dir.mkdir(parents=True, exist_ok=True)
    rows = training_rows(inputs)
    if controls.is_fitted(config.architecture):
        _compute(config, rows, out_dir, report, device)
    else:
        _learn(config, rows, out_dir, report, device, runtime.tensorboard)
    return Trained.load(out_dir)


def train_sae(
    x: NDArray[np.float32] | torch.Tensor | Sequence[NDArray[np.float32] | str | Path] | Embeddings,
    architecture: str | dict[str, Any] = "topk",
    k: int | None = None,
    width: int = 4096,
    seed: int = 0,
    report: Report = silent,
    device: str = "auto",
    **settings: Any,
) -> SAE:
    """Train a dictionary in memory and return it.

    Args:
        x: raw embeddings: [n, d], or a list of such arrays or of `.npy` files (memory-mapped), or an `Embeddings`.
        architecture: a kind such as "topk", "batch_topk", "jumprelu", or a mapping such as {"kind": "topk", "k": 32}.
        k: codes a row (32 unless told), of every architecture that has a setting for it: l0 of "gated" and "jumprelu",
            components of "pca".
        width: number of latents.
        seed: of first weights and batches.
        report, device: see `Runtime`.
        settings: further fields of `SaeConfig`, such as steps, epochs, lr, batch_size.

    Raises: InputError on a wrong setting or array.
    """
    kind: dict[str, Any] = {"kind": architecture} if isinstance(architecture, str) else dict(architecture)
    if k is not None:
        kind[SPARSITY.get(kind["kind"], "k")] = k
    config = validate(SaeConfig, {"architecture": kind, "width": width, "seed": seed, **settings}, "train_sae")
    source = _source(x)
    encoder = getattr(source, "encoder", None)
    pool = Pool([(source, np.arange(source.n))], source.d)
    if controls.is_fitted(config.architecture):
        mean, scale = scaling(pool, config.scaling)
        return controls.fit(config, pool, mean, scale, encoder, pick_device(device), report).sae
    sae, _ = _fit(config, pool, np.arange(pool.n), encoder, None, report, pick_device(device))
    return sae


def _fit(
    config: SaeConfig,
    pool: Pool,
    groups: NDArray[np.int64],
    encoder: str | None,
    out_dir: Path | None,
    report: Report,
    device: torch.device,
    events: bool = False,
) -> tuple[SAE, Trainer]:
    if pool.n < 2:
        raise InputError(f"there are {pool.n} rows to train on; give at least 2 embeddings")
    aside = held_out(groups, HELD_OUT, MOST_HELD_OUT, config.seed)
    facts = {"version": VERSION, "config": config.model_dump(mode="json"), "rows": pool.n, "d": pool.d, "encoder": encoder}
    # The device too: a state made on one goes on with other roundings on another.
    identity = hashlib.sha256(canonical({**facts, "device": device.type})).hexdigest()
    trainer = Trainer(config, pool.without(aside), pool.only(aside), out_dir, encoder, identity, report, device, events)
    return trainer.run(), trainer


def _compute(config: SaeConfig, rows: Rows, out_dir: Path, report: Report, device: torch.device) -> None:
    """A control that is computed, not trained: its artifact has one line of metrics."""
    mean, scale = scaling(rows.train, config.scaling)
    fitted = controls.fit(config, rows.train, mean, scale, rows.encoder, device, report)
    metrics, on_test, _ = measure_split(fitted.sae, rows.train, rows.test, device, lambda _: report(Event("train", 1, 1)))
    metrics["loss"] = on_test.squared_error * on_test.d * scale**2
    log = Log(out_dir, {})
    log.note(f"{config.architecture.kind} | {rows.train.n} rows of {rows.train.d} | computed, not trained")
    log.step({"step": 1, "epoch": 1.0, **metrics})
    training = {"config": config.model_dump(mode="json"), "rows": rows.train.n, "held_out_rows": 0, **fitted.about}
    _write(fitted.sae, training, metrics, out_dir)


def _learn(config: SaeConfig, rows: Rows, out_dir: Path, report: Report, device: torch.device, events: bool) -> None:
    sae, trainer = _fit(config, rows.train, rows.groups, rows.encoder, out_dir, report, device, events)
    with trainer.threads():
        metrics, on_test, _ = measure_split(sae, rows.train, rows.test, device, lambda _: report(Event("train", 1, 1)))
    plan, keeper = trainer.plan, trainer.keeper
    training = {
        "config": config.model_dump(mode="json"),
        "rows": trainer.pool.n,
        "held_out_rows": trainer.held.n,
        "steps": plan.steps,
        "batch": plan.batch,
        "lr": plan.lr,
        "epochs": round(plan.steps * plan.batch / trainer.pool.n, 4),
        "dead_after": plan.dead_after,
        "kept_step": keeper.step if keeper.weights else plan.steps,
        "held_out_loss": keeper.facts()["loss"],
        "dead_fraction_over": "train and test rows",
        "bf16_screening": trainer.halved,
    }
    _write(sae, training, {**metrics, "loss": keeper.loss_of(on_test)}, out_dir)


def _write(sae: SAE, training: dict[str, Any], metrics: dict[str, float], out_dir: Path) -> None:
    """The final weights and `config.json`; whatever a killed attempt left half written is removed."""
    write_weights(sae, out_dir / WEIGHTS)
    write_atomic(out_dir / CONFIG, json.dumps({**describe(sae), "training": training, "metrics": metrics}, indent=2).encode())
    shutil.rmtree(out_dir / "state", ignore_errors=True)
    for leftover in out_dir.rglob(".*.tmp"):
        leftover.unlink()


class _Held(Arrays):
    """Arrays, and the encoder they came from where that is known."""

    encoder: str | None = None


def _source(x: Any) -> Any:
    if hasattr(x, "rows") and hasattr(x, "encoder"):
        return x
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().numpy()
    parts = [x] if isinstance(x, np.ndarray) else list(x)
    return _Held([_array(part) for part in parts])


def _array(part: Any) -> NDArray[Any]:
    if isinstance(part, torch.Tensor):
        return part.detach().cpu().numpy()
    if isinstance(part, (str, Path)):
        try:
            part = np.load(part, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read embeddings from {part}: {error}; give a .npy file of floats [n, d]") from None
    array = np.asarray(part) if not isinstance(part, np.memmap) else part
    if array.dtype.kind != "f":
        raise InputError(f"embeddings have dtype {array.dtype}; give floats [n, d]")
    return array
