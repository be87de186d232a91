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

from sae_core.config import Runtime, SaeConfig, validate
from sae_core.errors import InputError
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Arrays, Pool, held_out
from sae_core.sae.formats import CONFIG, WEIGHTS, describe, load_sae, write_weights
from sae_core.sae.monitor import measure
from sae_core.sae.trainer import Trainer
from sae_core.store import Inputs, canonical, write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from sae_core.clip.embed import Embeddings

VERSION = 1
HELD_OUT, MOST_HELD_OUT = 0.1, 2048
"""Share of the training rows, and the most of them, on which the best weights are chosen."""


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
    train, test, groups, encoder = _domains(inputs)
    sae, trainer = _fit(config, train, groups, encoder, out_dir, report, device)
    with trainer.threads():
        metrics = _measured(sae, trainer, train, test, report)
    _write(sae, trainer, metrics, out_dir)
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
        architecture: "topk", "relu_l1", or a mapping such as {"kind": "topk", "k": 32}.
        k: codes a row, for topk (32 unless told).
        width: number of latents.
        seed: of first weights and batches.
        report, device: see `Runtime`.
        settings: further fields of `SaeConfig`, such as steps, epochs, lr, batch_size.

    Raises: InputError on a wrong setting or array.
    """
    kind: dict[str, Any] = {"kind": architecture} if isinstance(architecture, str) else dict(architecture)
    if k is not None:
        kind["k"] = k
    config = validate(SaeConfig, {"architecture": kind, "width": width, "seed": seed, **settings}, "train_sae")
    source = _source(x)
    encoder = getattr(source, "encoder", None)
    pool = Pool([(source, np.arange(source.n))], source.d)
    sae, _ = _fit(config, pool, np.arange(pool.n), encoder, None, report, pick_device(device))
    return sae


def pick_device(name: str) -> torch.device:
    """The torch device of a runtime's name; `auto` is CUDA where there is one. Raises InputError on one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"device {name!r} is not available here; use cpu or auto") from None
    return device


def _fit(
    config: SaeConfig,
    pool: Pool,
    groups: NDArray[np.int64],
    encoder: str | None,
    out_dir: Path | None,
    report: Report,
    device: torch.device,
) -> tuple[SAE, Trainer]:
    if pool.n < 2:
        raise InputError(f"there are {pool.n} rows to train on; give at least 2 embeddings")
    aside = held_out(groups, HELD_OUT, MOST_HELD_OUT, config.seed)
    facts = {"version": VERSION, "config": config.model_dump(mode="json"), "rows": pool.n, "d": pool.d, "encoder": encoder}
    # The device too: a state made on one goes on with other roundings on another.
    identity = hashlib.sha256(canonical({**facts, "device": device.type})).hexdigest()
    trainer = Trainer(config, pool.without(aside), pool.only(aside), out_dir, encoder, identity, report, device)
    return trainer.run(), trainer


def _domains(inputs: Inputs) -> tuple[Pool, Pool, NDArray[np.int64], str]:
    """Training rows, test rows, near-duplicate groups of the training rows, and the encoder, over all domains."""
    from sae_core.clip.embed import Embeddings
    from sae_core.data.manifest import Manifest

    train, test, groups = [], [], []
    width, encoder = 0, ""
    for place, (domain, folder) in enumerate(inputs.domains("embed").items()):
        embeddings, manifest = Embeddings.load(folder), Manifest.load(inputs[f"manifest:{domain}"])
        if place and (embeddings.d, embeddings.encoder) != (width, encoder):
            raise InputError(
                f"domain {domain}: embeddings of {embeddings.encoder} ({embeddings.d} wide) cannot be trained on together with "
                f"those of {encoder} ({width} wide); choose sae.domains"
            )
        width, encoder = embeddings.d, embeddings.encoder
        images = np.asarray(embeddings.images, dtype=np.int64)
        training = np.zeros(manifest.n, dtype=bool)
        training[manifest.split_rows("train")] = True
        rows = np.flatnonzero(training[images])
        train.append((embeddings, rows))
        test.append((embeddings, np.flatnonzero(~training[images])))
        # Groups are numbered within a manifest; pairing with the domain keeps two domains' numbers apart.
        groups.append(manifest.table["group"].to_numpy(np.int64)[images[rows]] * len(inputs.paths) + place)
    return Pool(train, width), Pool(test, width), np.concatenate(groups), encoder


def _measured(sae: SAE, trainer: Trainer, train: Pool, test: Pool, report: Report) -> dict[str, float]:
    """The artifact's metrics; see `Trained.metrics`."""
    total = trainer.plan.steps
    on_test = measure(sae, test, trainer.device, lambda _: report(Event("train", total, total)))
    on_train = measure(sae, train, trainer.device, lambda _: report(Event("train", total, total)))
    silent_everywhere = (on_test.counts + on_train.counts == 0).double().mean()
    return {**on_test.metrics(), "dead_fraction": float(silent_everywhere), "loss": trainer.keeper.loss_of(on_test)}


def _write(sae: SAE, trainer: Trainer, metrics: dict[str, float], out_dir: Path) -> None:
    """The final weights and `config.json`; whatever a killed attempt left half written is removed."""
    plan = trainer.plan
    training = {
        "config": trainer.config.model_dump(mode="json"),
        "rows": trainer.pool.n,
        "held_out_rows": trainer.held.n,
        "steps": plan.steps,
        "batch": plan.batch,
        "lr": plan.lr,
        "epochs": round(plan.steps * plan.batch / trainer.pool.n, 4),
        "dead_after": plan.dead_after,
        "kept_step": trainer.keeper.step if trainer.keeper.weights else plan.steps,
        "held_out_loss": trainer.keeper.facts()["loss"],
        "dead_fraction_over": "train and test rows",
    }
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
