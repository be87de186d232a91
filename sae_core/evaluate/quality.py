"""What a dictionary's latents are like on one domain: how sparse, how monosemantic, and what of the embedding they keep.

Each number's definition stands in its own module; here they are put together for `report.json`, each with its n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.typing import NDArray

from sae_core.errors import InputError
from sae_core.evaluate.alignment import BATCH, K, cknna
from sae_core.evaluate.metrics import bootstrap_mean
from sae_core.evaluate.monosemanticity import Monosemanticity, monosemanticity
from sae_core.evaluate.probes import Fidelity, class_probe
from sae_core.evaluate.sparse_probes import DIFFERENCE, SparseProbes, sparse_probes
from sae_core.evaluate.sparsity import Sparsity, sparsity

MOST_TRAINED = 10_000
"""Training rows of the class probe: more move its accuracy little and cost minutes where there are a thousand classes."""
MOST_BATCHES = 16
"""Batches of CKNNA, 16,384 rows."""

T = TypeVar("T")


class QualityBlock(NamedTuple):
    """The quality of a dictionary on one domain.

    Attributes:
        report: plain values for `report.json`, key `quality`:
            l0_distribution {l0: [..], images: [..]}: how many images use exactly so many latents;
            spectrum {rate: [..], latents: [..]}: a histogram of firing rates, one edge more than counts. The first bin, from 0,
                holds the dead latents, the others are of equal width in log10 and end at 1;
            dead_fraction, almost_dead_fraction, dense_fraction, over (the rows that these are counted on);
            ms {encoder, circular, n, latents, mean, mean_ci_low, mean_ci_high (over latents), median, p90, random_mean};
            cknna {value, k, batch, batches, n};
            class_probe {accuracy_x, accuracy_x_hat, delta, delta_ci_low, delta_ci_high, mcnemar_p, agreement, n, classes,
                trained};
            sparse_probes [{k, features, auroc, auroc_ci_low, auroc_ci_high, balanced_accuracy, auroc_null, classes, n}]; a line
                of "latents" also has its lead over as many dimensions, `difference` with `difference_ci_low` and `_high`.
            The last four are None where the data does not allow them; `notes` says why.
        latents: DataFrame latent, rate, ms (NaN where no two images have weight), a row for each latent.
        notes: a sentence for every None.
    """

    report: dict[str, Any]
    latents: pd.DataFrame
    notes: list[str]


def quality_of(
    codes: scipy.sparse.csr_matrix,
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    encoder: str,
    rng: np.random.Generator,
    *,
    labels: NDArray[np.integer[Any]] | None = None,
    groups: NDArray[np.int64] | None = None,
    train: NDArray[np.float32] | None = None,
    train_labels: NDArray[np.integer[Any]] | None = None,
    train_codes: scipy.sparse.csr_matrix | None = None,
    bootstrap: int = 1000,
    split: str = "test",
    ms_embeddings: NDArray[np.floating[Any]] | None = None,
    ms_encoder: str | None = None,
) -> QualityBlock:
    """Judge a dictionary on the held-out rows of one domain.

    Args:
        codes: z [n, m] of the held-out rows.
        x, x_hat: float32 [n, d], raw embeddings of the same rows and their reconstructions.
        encoder: which encoder x comes from.
        rng: its children draw (the generator itself does not move on), one for each number, so that none depends on another.
        labels: int [n], classes; below 0: none. None: the domain has no classes.
        groups: int [n], near-duplicates that are resampled together.
        train: float32 [t, d], raw embeddings of the domain's training rows, for the probes.
        train_labels: int [t].
        train_codes: z [t, m] of these rows; with them sparse probes are made (seconds to minutes), None: they are not.
        bootstrap: resamples for intervals.
        split: the name of the split that the held-out rows are.
        ms_embeddings: float [n, d'], of the same images by another encoder, which judges monosemanticity without circularity;
            None: x does, and `circular` says so.
        ms_encoder: the name of that encoder.

    Raises: InputError when there is no row, or arrays are not of the same rows.
    """
    n, m = codes.shape
    _check(codes, x, x_hat, labels, groups, train, train_labels, train_codes, ms_embeddings, ms_encoder)
    shuffling, batching, drawing, probing, sparsely, resampling = rng.spawn(6)
    notes: list[str] = []

    fires = sparsity(codes)
    judge, judging = (x, encoder) if ms_embeddings is None or ms_encoder is None else (ms_embeddings, ms_encoder)
    ms = monosemanticity(codes, judge, judging)
    # Which code goes with which image is shuffled, all else is kept: the MS of latents that mean nothing.
    chance = monosemanticity(codes[shuffling.permutation(n)], judge, judging)

    probe, sparse = None, None
    if labels is None or train is None or train_labels is None or not (labels >= 0).any():
        notes.append("no class probe and no sparse probes: the images have no classes")
    else:
        y, kept = labels, np.arange(len(train))
        if len(kept) > MOST_TRAINED:
            kept = np.sort(drawing.choice(len(kept), MOST_TRAINED, replace=False))
        probe = _or_note(lambda: class_probe(train[kept], train_labels[kept], x, x_hat, y, bootstrap, probing, groups), notes)
        if train_codes is None:
            notes.append("no sparse probes: they are made when evaluate.sparse_probes is true")
        else:
            rows = scipy.sparse.vstack([train_codes, codes]).tocsr()
            both, answers = np.concatenate([train, x]), np.concatenate([train_labels, labels])
            cut = np.arange(len(both))
            sparse = _or_note(lambda: sparse_probes(rows, both, answers, cut[: len(train)], cut[len(train) :], sparsely), notes)
    report = {
        **_sparsity(fires),
        "over": f"{n} held-out images (split {split})",
        "ms": _monosemanticity(ms, chance, ms_embeddings is None, notes, bootstrap, resampling),
        "cknna": _alignment(x, x_hat, batching, notes),
        "class_probe": None if probe is None else _class_probe(probe),
        "sparse_probes": None if sparse is None else _sparse_probes(sparse, bootstrap, sparsely),
    }
    latents = pd.DataFrame({"latent": np.arange(m), "rate": fires.rates, "ms": ms.scores})
    return QualityBlock(report, latents, notes)


def _or_note(measure: Callable[[], T], notes: list[str]) -> T | None:
    """A number, or a note on why this data has none. (Shapes are checked before: what is refused here is the data.)"""
    try:
        return measure()
    except InputError as error:
        notes.append(str(error))
        return None


def _sparsity(fires: Sparsity) -> dict[str, Any]:
    numbers, used, bins = fires.metrics(), fires.l0_distribution(), fires.spectrum()
    return {
        "l0_distribution": {"l0": used["l0"].tolist(), "images": used["rows"].tolist()},
        "spectrum": {
            "rate": [0.0, *bins["low"].tolist(), float(bins["high"].iloc[-1])],
            "latents": [int(np.sum(fires.counts == 0)), *bins["latents"].tolist()],
        },
        **{name: numbers[name] for name in ("dead_fraction", "almost_dead_fraction", "dense_fraction")},
    }


def _monosemanticity(
    ms: Monosemanticity,
    chance: Monosemanticity,
    circular: bool,
    notes: list[str],
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    scored, shuffled = (one.scores[~np.isnan(one.scores)] for one in (ms, chance))
    if not len(scored):
        notes.append(f"no monosemanticity: no latent fires on two of the {ms.n} held-out images")
        return None
    return {
        "encoder": ms.encoder,
        "circular": circular,
        "n": ms.n,
        "latents": len(scored),
        "mean": float(scored.mean()),
        # Over latents, as drawn from all that training might have found; the images are given.
        **dict(zip(("mean_ci_low", "mean_ci_high"), bootstrap_mean(scored, resamples, rng), strict=True)),
        "median": float(np.median(scored)),
        "p90": float(np.quantile(scored, 0.9)),
        "random_mean": float(shuffled.mean()),
    }


def _alignment(
    x: NDArray[np.float32], x_hat: NDArray[np.float32], rng: np.random.Generator, notes: list[str]
) -> dict[str, Any] | None:
    if len(x) <= K:
        notes.append(f"no CKNNA: it looks for {K} neighbours among {len(x)} held-out images")
        return None
    # In the order of a data set a batch may be all of one class; drawn at random it is like the whole.
    rows = rng.permutation(len(x))[: MOST_BATCHES * BATCH]
    found = cknna(x[rows], x_hat[rows], K)
    if np.isnan(found.value):
        notes.append("no CKNNA: the embeddings or their reconstructions have no structure of neighbours")
        return None
    return {**found._asdict(), "n": found.batch * found.batches}


def _class_probe(probe: Fidelity) -> dict[str, Any]:
    paired = probe.paired
    return {
        "accuracy_x": paired.accuracy_clip,
        "accuracy_x_hat": paired.accuracy_sae,
        "delta": paired.delta,
        "delta_ci_low": paired.interval.low,
        "delta_ci_high": paired.interval.high,
        "mcnemar_p": paired.flips.p,
        "agreement": probe.agreement,
        "n": paired.n,
        "classes": probe.classes,
        "trained": probe.trained,
    }


def _sparse_probes(probes: SparseProbes, bootstrap: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    lines = probes.summary(bootstrap, rng).to_dict("records")
    lead = {line["k"]: line for line in lines if line["features"] == DIFFERENCE}
    out = []
    for line in lines:
        k, features = line["k"], line["features"]
        if features == DIFFERENCE:
            continue
        out.append(
            {
                "k": k,
                "features": features,
                "auroc": line["auroc"],
                "auroc_ci_low": line["low"],
                "auroc_ci_high": line["high"],
                "balanced_accuracy": line["balanced_accuracy"],
                "auroc_null": line["auroc_null"],
                "classes": line["classes"],
                "n": probes.held_out,
            }
        )
        if features == "latents":
            ahead = lead[k]
            out[-1] |= {"difference": ahead["auroc"], "difference_ci_low": ahead["low"], "difference_ci_high": ahead["high"]}
    return out


def _check(
    codes: scipy.sparse.csr_matrix,
    x: NDArray[np.float32],
    x_hat: NDArray[np.float32],
    labels: NDArray[np.integer[Any]] | None,
    groups: NDArray[np.int64] | None,
    train: NDArray[np.float32] | None,
    train_labels: NDArray[np.integer[Any]] | None,
    train_codes: scipy.sparse.csr_matrix | None,
    ms_embeddings: NDArray[np.floating[Any]] | None,
    ms_encoder: str | None,
) -> None:
    n, m = codes.shape
    if x.ndim != 2 or x.shape != x_hat.shape or len(x) != n:
        raise InputError(f"codes of {n} rows, x {list(x.shape)}, x_hat {list(x_hat.shape)}: give one of each a held-out row")
    for name, array in (("labels", labels), ("groups", groups), ("ms_embeddings", ms_embeddings)):
        if array is not None and len(array) != n:
            raise InputError(f"{len(array)} {name} for {n} held-out rows; give one a row")
    if (train is None) != (train_labels is None) or (train_codes is not None and train is None):
        raise InputError("training rows of the probes need their labels; give train and train_labels together")
    if train is not None and train_labels is not None:
        heights = {len(train), len(train_labels), *([] if train_codes is None else [train_codes.shape[0]])}
        if len(heights) > 1 or train.shape[1:] != x.shape[1:] or (train_codes is not None and train_codes.shape[1] != m):
            raise InputError(
                f"train {list(train.shape)} does not fit its labels, its codes or x {list(x.shape)}; give the same rows"
            )
    if (ms_embeddings is None) != (ms_encoder is None):
        raise InputError("embeddings that judge monosemanticity need their encoder's name; give ms_embeddings and ms_encoder")
