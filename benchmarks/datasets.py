"""What the benchmarks train on: embeddings with a known truth, real CLIP embeddings and the drawn world's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FEATURES = 2000
VALIDATION = 0.1
"""Share of the training rows on which a peer's learning rate is chosen; our trainer keeps as many aside for itself."""
NOISE = 0.02
CHUNK = 4000


def synthetic(rows: int, d: int, k: int, features: int = FEATURES, seed: int = 2007) -> tuple[Floats, Floats]:
    """Embeddings x = Σ_j a_j f_j + ε of known features, and the features.

    The f_j are random unit vectors. Exactly k of them are in a row, drawn without replacement with weights 1 / (j + 1) (Zipf),
    with magnitudes |N(0, 1)| + 0.5; ε ~ N(0, 0.02²). The seed is of the data alone; no trainer is given it.

    Returns: float32 [rows, d] and [features, d].
    """
    rng = np.random.default_rng([20_070, seed])
    truth = rng.normal(size=(features, d)).astype(np.float32)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    # The k largest of log w + Gumbel noise are a draw without replacement with weights w.
    weights = -np.log(np.arange(1, features + 1, dtype=np.float32))
    x = np.empty((rows, d), np.float32)
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        noisy = weights - np.log(rng.exponential(size=(n, features))).astype(np.float32)
        chosen = np.argpartition(noisy, features - k, axis=1)[:, features - k :]
        codes = np.zeros((n, features), np.float32)
        np.put_along_axis(codes, chosen, np.abs(rng.normal(size=(n, k)).astype(np.float32)) + 0.5, axis=1)
        x[start : start + n] = codes @ truth + NOISE * rng.normal(size=(n, d)).astype(np.float32)
    return x, truth


@dataclass(frozen=True)
class DataSet:
    """Arrays on disk: `train` is what our trainer gets; `fit` and `validate` are the same rows as a peer gets them; `test`."""

    name: str
    folder: Path
    identity: str
    d: int
    rows: int

    def path(self, part: str) -> str:
        """The .npy file of a part."""
        return str(self.folder / f"{part}.npy")

    def truth(self) -> Floats | None:
        """The true features, where they are known."""
        path = self.folder / "truth.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None


def keep(name: str, folder: Path, train: Floats, test: Floats, truth: Floats | None = None) -> DataSet:
    """Write a data set's parts into a folder."""
    order = np.random.default_rng(len(train)).permutation(len(train))
    cut = round(VALIDATION * len(train))
    parts = {"train": train, "test": test, "validate": train[np.sort(order[:cut])], "fit": train[np.sort(order[cut:])]}
    if truth is not None:
        parts["truth"] = truth
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for part, array in sorted(parts.items()):
        array = np.ascontiguousarray(array, dtype=np.float32)
        np.save(folder / f"{part}.npy", array)
        digest.update(part.encode() + array.tobytes())
    return DataSet(name, folder, digest.hexdigest()[:12], train.shape[1], len(train))


def embedded(config: str, overrides: list[str], cache: Path) -> tuple[Floats, Floats]:
    """Training and test rows of all domains of a configuration, by the pipeline's own embed stage and split."""
    import sae_core

    run = sae_core.run(config, cache=cache, stage="embed", overrides=overrides)
    train, test = [], []
    for stage, key in run.keys.items():
        kind, _, domain = stage.partition(":")
        if kind == "embed":
            x = sae_core.load_embeddings(key, cache).array()
            manifest = sae_core.load_manifest(run.keys[f"manifest:{domain}"], cache)
            train.append(x[manifest.split_rows("train")])
            test.append(x[manifest.split_rows("test")])
    return np.concatenate(train), np.concatenate(test)
