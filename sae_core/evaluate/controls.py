"""The controls of an evaluation: what as few numbers an image keep without a learned dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sae_core.config import Pca, SaeConfig
from sae_core.evaluate.answers import Answers, Asked, in_captions, in_classes
from sae_core.evaluate.recall import KS, Recall
from sae_core.evaluate.zero_shot import ZeroShot
from sae_core.progress import Report, silent
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import BLOCK, WINDOW, Pool
from sae_core.sae.controls import fit
from sae_core.sae.quality import Quality
from sae_core.sae.recipe import scaling
from sae_core.sae.train import train_sae

MEAN, PCA, RANDOM = "mean ablation", "PCA", "random dictionary"
SHORT = {PCA: "pca", RANDOM: "random"}
"""What a control's flat metrics end in: `accuracy_pca`."""
STEPS, BATCH = 300, 256
"""The random dictionary's training. Only its encoder learns, which is soon done: on the demo its R² is .561 after these 2 s, .563
after the 1,200 steps of 512 rows that the recipe asks for; on 800 CLIP embeddings .243 after 400 of 64 rows, .247 after 1,200."""
MOST_ROWS = BLOCK * WINDOW
"""Rows the random dictionary is trained on at most, held in memory."""


@dataclass(frozen=True)
class Control:
    """A control as a dictionary, and what is to be said of it: `components` or `k`, `rows` it was fitted on."""

    name: str
    sae: SAE
    about: Mapping[str, int]


def fit_controls(
    pool: Pool, l0: float, width: int, encoder: str | None, seed: int, device: str = "cpu", report: Report = silent
) -> list[Control]:
    """PCA with round(l0) components, and TopK over `width` random directions with k = round(l0), fitted on a pool's rows.

    PCA has at most as many components as there are rows or dimensions. The directions are never trained, their encoder is, for
    300 steps on at most 131,072 rows drawn at random.

    Args:
        pool: the training rows.
        l0: of the dictionary that they are controls of.
        width: of the random dictionary.
        encoder: the CLIP of these embeddings.
        seed: of the random dictionary.
        device, report: see `Runtime`; `report` may raise to stop.
    """
    k = max(1, round(l0))
    components = min(k, pool.d, pool.n)
    mean, scale = scaling(pool, "mean_square")
    pca = fit(SaeConfig(architecture=Pca(components=components)), pool, mean, scale, encoder, report=report).sae.to(device)
    drawn = np.sort(np.random.default_rng(seed).permutation(pool.n)[:MOST_ROWS])
    random = train_sae(pool.take(drawn), "random", k, max(width, 2), seed, report, device, steps=STEPS, batch_size=BATCH).to(
        device
    )
    return [
        Control(PCA, pca, {"components": components, "rows": pool.n}),
        Control(RANDOM, random, {"k": k, "width": random.m, "rows": len(drawn)}),
    ]


@dataclass(frozen=True)
class Compared:
    """A control on a domain's held-out rows.

    Attributes:
        name: mean ablation, PCA or random dictionary.
        l0, r2: of its reconstructions.
        about: see `Control`.
        zero_shot, recall: CLIP against the control, or None.
        ahead: the control against the dictionary in zero-shot accuracy: `delta` is by how much the dictionary is ahead.
        ahead_recall: the same in caption recall.
    """

    name: str
    l0: float
    r2: float
    about: Mapping[str, int]
    zero_shot: ZeroShot | None
    recall: Recall | None
    ahead: ZeroShot | None
    ahead_recall: Recall | None

    def metrics(self) -> dict[str, float]:
        """Flat metrics: `r2_pca`, `accuracy_pca`, `recall_10_pca` and the random dictionary's; none for the mean ablation."""
        if self.name not in SHORT:
            return {}
        found = {"r2": self.r2}
        if self.zero_shot is not None:
            found["accuracy"] = self.zero_shot.accuracy_sae
        if self.recall is not None:
            found |= {f"recall_{k}": self.recall.metrics()[f"recall_{k}_sae"] for k in KS}
        return {f"{name}_{SHORT[self.name]}": value for name, value in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `report.json`; `delta` is against CLIP, `sae_ahead` is by how much the dictionary is better."""
        out: dict[str, Any] = {"name": self.name, "l0": self.l0, "r2": self.r2, **self.about}
        if self.zero_shot is not None:
            z = self.zero_shot.metrics()
            out |= {"accuracy": z.pop("accuracy_sae")} | {name: value for name, value in z.items() if name != "accuracy_clip"}
        if self.ahead is not None:
            out |= {
                "sae_ahead": self.ahead.delta,
                "sae_ahead_ci_low": self.ahead.interval.low,
                "sae_ahead_ci_high": self.ahead.interval.high,
                "sae_ahead_mcnemar_p": self.ahead.flips.p,
            }
        if self.recall is not None:
            out |= _recall(self.recall, "recall_{}", "recall_{}_delta")
            out["recall_n"] = self.recall.n
        if self.ahead_recall is not None:
            out |= _recall(self.ahead_recall, None, "recall_{}_sae_ahead")
        return out


def _recall(recall: Recall, value: str | None, delta: str) -> dict[str, float]:
    found, out = recall.metrics(), {}
    for k, flips in zip(KS, recall.flips, strict=True):
        if value is not None:
            out[value.format(k)] = found[f"recall_{k}_sae"]
        name = delta.format(k)
        out |= {name: found[f"recall_{k}_delta"]}
        out |= {f"{name}_{end}": found[f"recall_{k}_delta_{end}"] for end in ("ci_low", "ci_high")}
        out[f"{name}_mcnemar_p"] = flips.p
    return out


def compare_control(
    name: str,
    about: Mapping[str, int],
    quality: Quality | None,
    clip: Answers,
    control: Answers,
    sae: Answers,
    asked: Asked,
    bootstrap: int,
    rng: np.random.Generator,
) -> Compared:
    """Compare a control's answers with CLIP's and with the dictionary's; None as its quality: the mean, whose L0 and R² are 0."""
    measured = {"l0": 0.0, "r2": 0.0} if quality is None else quality.metrics()
    return Compared(
        name,
        measured["l0"],
        measured["r2"],
        about,
        in_classes(clip, control, asked, bootstrap, rng),
        in_captions(clip, control, asked, bootstrap, rng),
        in_classes(control, sae, asked, bootstrap, rng),
        in_captions(control, sae, asked, bootstrap, rng),
    )
