"""Sparse probes: how well do a few latents tell a class, against as many raw dimensions and against shuffled labels?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from sae_core.errors import InputError
from sae_core.evaluate.codes import Codes, columns, shape
from sae_core.evaluate.logistic import fit_logistic
from sae_core.evaluate.metrics import bootstrap_mean

SIZES = (1, 5, 20)
LEAST = 5
"""A class with fewer training or held-out images is not probed."""
LATENTS, DIMENSIONS, DIFFERENCE = "latents", "dimensions", "difference"
SCORES = ["auroc", "balanced_accuracy", "auroc_null", "balanced_accuracy_null"]


@dataclass(frozen=True)
class SparseProbes:
    """How well a few latents, or as many raw dimensions, tell one class from the others on held-out rows.

    Attributes:
        table: DataFrame class, features ("latents" or "dimensions"), k, auroc, balanced_accuracy, auroc_null,
            balanced_accuracy_null (means over shuffles of the training labels).
        train, held_out: rows.
    """

    table: pd.DataFrame
    train: int
    held_out: int

    def summary(self, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
        """Means over classes; of the AUROC also a 95 % bootstrap interval over classes.

        Returns: DataFrame features, k, classes, auroc, low, high, balanced_accuracy, auroc_null, balanced_accuracy_null; a third
            kind of features, "difference", is latents less dimensions, paired by class.
        """
        lines = []
        for k in sorted(int(k) for k in self.table["k"].unique()):
            # Both kinds of features list the classes in the same order.
            kinds = {
                name: self.table.loc[(self.table["features"] == name) & (self.table["k"] == k), SCORES].to_numpy(np.float64)
                for name in (LATENTS, DIMENSIONS)
            }
            kinds[DIFFERENCE] = kinds[LATENTS] - kinds[DIMENSIONS]
            for features, values in kinds.items():
                low, high = bootstrap_mean(values[:, 0], resamples, rng)
                means = dict(zip(SCORES, values.mean(axis=0).tolist(), strict=True))
                lines.append({"features": features, "k": k, "classes": len(values), **means, "low": low, "high": high})
        return pd.DataFrame(lines)

    def metrics(self, resamples: int, rng: np.random.Generator) -> dict[str, float]:
        """sparse_probe_<k>_<features>, its interval and null, for latents, dimensions and their difference (AUROC)."""
        out = {"sparse_probe_classes": float(self.table["class"].nunique())}
        for line in self.summary(resamples, rng).to_dict("records"):
            name = f"sparse_probe_{line['k']}_{line['features']}"
            out.update({name: line["auroc"], f"{name}_ci_low": line["low"], f"{name}_ci_high": line["high"]})
            out[f"{name}_null"] = line["auroc_null"]
        return out


def sparse_probes(
    codes: Codes,
    x: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    train: NDArray[np.integer[Any]],
    held_out: NDArray[np.integer[Any]],
    rng: np.random.Generator,
    sizes: Sequence[int] = SIZES,
    most_classes: int = 50,
    shuffles: int = 3,
) -> SparseProbes:
    """One-vs-rest logistic probes on the k latents that tell a class best, against the k best raw dimensions.

    Features are chosen on training rows by the standardised difference of means, |mean_c - mean_rest| / sd; the probe is fitted
    on the same rows and judged on held-out ones by AUROC and balanced accuracy. The null shuffles the training labels before
    choosing, so that it pays for the choice among many latents too.

    Args:
        codes: z [n, m].
        x: float [n, d], raw embeddings of the same rows.
        labels: int [n]; below 0: none.
        train, held_out: rows, disjoint; near-duplicates should be on one side.
        rng: shuffles labels, and draws classes where there are more than `most_classes`.
        sizes: the numbers of features; where there are fewer, all of them are used.
        most_classes: classes probed.
        shuffles: of the training labels, averaged.

    Raises: InputError when rows or classes are not enough.
    Source: Gurnee et al. 2023 (arXiv:2305.01610); Kantamneni et al. 2025 (arXiv:2502.16681) for the raw baseline.
    """
    n, _ = shape(codes)
    if not n == len(x) == len(labels):
        raise InputError(f"{n} rows of codes, {len(x)} embeddings, {len(labels)} labels: give one of each a row")
    train, held_out = (np.unique(rows[labels[rows] >= 0]) for rows in (train, held_out))
    if len(np.intersect1d(train, held_out)):
        raise InputError("training and held-out rows of the sparse probes overlap; give disjoint rows")
    y, truth = labels[train], labels[held_out]
    found, counts = np.unique(y, return_counts=True)
    classes = [int(c) for c, size in zip(found, counts, strict=True) if size >= LEAST and np.sum(truth == c) >= LEAST]
    if len(found) < 2 or not classes:
        raise InputError(f"sparse probes need two classes, one with {LEAST} training and {LEAST} held-out images")
    if len(classes) > most_classes:
        classes = sorted(rng.choice(classes, most_classes, replace=False).tolist())
    targets = [y, *(rng.permutation(y) for _ in range(shuffles))]
    tables = []
    for features, source in ((LATENTS, codes), (DIMENSIONS, np.asarray(x))):
        scores = _scores(source, train, held_out, targets, truth, classes, sizes)
        real, null = scores[0], scores[1:].mean(axis=0) if shuffles else np.full_like(scores[0], np.nan)
        table = pd.DataFrame(np.concatenate([real, null], axis=2).reshape(-1, 4), columns=SCORES)
        table.insert(0, "class", np.repeat(classes, len(sizes)))
        table.insert(1, "features", features)
        table.insert(2, "k", np.tile(sizes, len(classes)))
        tables.append(table)
    return SparseProbes(pd.concat(tables, ignore_index=True), len(train), len(held_out))


def _scores(
    source: Codes,
    train: NDArray[np.integer[Any]],
    held_out: NDArray[np.integer[Any]],
    targets: Sequence[NDArray[np.integer[Any]]],
    truth: NDArray[np.integer[Any]],
    classes: Sequence[int],
    sizes: Sequence[int],
) -> NDArray[np.float64]:
    """AUROC and balanced accuracy for each vector of training labels, class and size, float64 [targets, classes, sizes, 2]."""
    chosen = [_choose(source, train, target, classes, max(sizes)) for target in targets]
    needed = np.unique(np.concatenate([one.ravel() for one in chosen]))
    fitted, judged = (_take(source, rows, needed) for rows in (train, held_out))
    out = np.empty((len(targets), len(classes), len(sizes), 2))
    for t, target in enumerate(targets):
        for i, c in enumerate(classes):
            for s, k in enumerate(sizes):
                at = np.searchsorted(needed, chosen[t][i, :k])
                out[t, i, s] = _probe(fitted[:, at], target == c, judged[:, at], truth == c)
    return out


def _choose(
    source: Codes, rows: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], classes: Sequence[int], most: int
) -> NDArray[np.int64]:
    """The `most` features that tell each class best, best first, int64 [classes, most]."""
    n = len(rows)
    member = np.stack([labels == c for c in classes]).astype(np.float64)
    size = member.sum(axis=1)[:, None]
    _, m = shape(source)
    score = np.zeros((len(classes), m))
    for start, block in columns(source, rows):
        total, square = (np.asarray(s.sum(axis=0)).ravel() for s in (block, block.multiply(block)))
        inside = (block.T @ member.T).T
        spread = np.sqrt(np.maximum(square / n - (total / n) ** 2, 0.0))
        gap = np.abs(inside / size - (total - inside) / (n - size))
        score[:, start : start + block.shape[1]] = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 1e-12)
    return np.argsort(-score, axis=1, kind="stable")[:, :most].astype(np.int64)


def _take(source: Codes, rows: NDArray[np.integer[Any]], features: NDArray[np.int64]) -> scipy.sparse.csc_matrix:
    """The chosen features of the chosen rows, CSC [rows, features]."""
    parts = []
    for start, block in columns(source, rows):
        parts.append(block[:, features[(features >= start) & (features < start + block.shape[1])] - start])
    return scipy.sparse.hstack(parts).tocsc()


def _probe(
    train: scipy.sparse.csc_matrix, answer: NDArray[np.bool_], held_out: scipy.sparse.csc_matrix, truth: NDArray[np.bool_]
) -> tuple[float, float]:
    """AUROC and balanced accuracy of a class-weighted logistic probe on held-out rows."""
    probe = fit_logistic(train.toarray(), answer, balanced=True)
    values = held_out.toarray()
    return float(roc_auc_score(truth, probe.decision_function(values))), float(
        balanced_accuracy_score(truth, probe.predict(values))
    )
