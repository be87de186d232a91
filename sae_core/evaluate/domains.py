"""One domain's held-out images through the dictionary: reconstruction, zero-shot accuracy, caption recall, and their floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest
from sae_core.evaluate.metrics import accuracy, caption_hits
from sae_core.evaluate.recall import KS, Recall
from sae_core.evaluate.recall import compare as compare_recall
from sae_core.evaluate.texts import Texts
from sae_core.evaluate.zero_shot import ZeroShot, classify
from sae_core.evaluate.zero_shot import compare as compare_classes
from sae_core.sae.architectures import SAE
from sae_core.sae.quality import Quality

SPLIT: Literal["test"] = "test"
ROWS = 4096


@dataclass(frozen=True)
class Domain:
    """A domain's results.

    Attributes:
        rows: held-out embedding rows.
        quality: L0, R² and the rest over these rows.
        texts: what the images were compared with, and notes on what was not there.
        zero_shot: accuracy before and after, or None.
        images: int64 [zero_shot.n], manifest ids of the images classified.
        floor: accuracy when every embedding is the split's mean, or None.
        recall: caption recall before and after, or None.
        recall_floor: the same for the mean embedding, one number for each of KS.
    """

    rows: int
    quality: dict[str, float]
    texts: Texts
    zero_shot: ZeroShot | None
    images: NDArray[np.int64]
    floor: float | None
    recall: Recall | None
    recall_floor: tuple[float, ...] | None

    def metrics(self) -> dict[str, float]:
        """The domain's flat metrics, without its name in front."""
        found = {"n": float(self.rows), "r2": self.quality["r2"], "l0": self.quality["l0"]}
        if self.recall is not None and self.recall_floor is not None:
            found.update(self.recall.metrics())
            found.update({f"recall_{k}_floor": value for k, value in zip(KS, self.recall_floor, strict=True)})
        if self.zero_shot is not None and self.floor is not None:
            found.update({**self.zero_shot.metrics(), "accuracy_floor": self.floor})
        return found

    def line(self, name: str) -> str:
        """The domain's line of eval.log, in the seed project's form."""
        parts = [name]
        if self.zero_shot is not None:
            z = self.zero_shot
            parts += [f"zero-shot CLIP: {z.accuracy_clip:.4f}", f"CLIP+SAE: {z.accuracy_sae:.4f}", f"delta: {z.delta:+.4f}"]
        elif self.recall is not None:
            m = self.recall.metrics()
            for title, kind, form in (("CLIP", "clip", ".4f"), ("CLIP+SAE", "sae", ".4f"), ("delta", "delta", "+.4f")):
                values = "/".join(format(m[f"recall_{k}_{kind}"], form) for k in KS)
                parts.append(f"recall@{'/'.join(map(str, KS))} {title}: {values}" if kind == "clip" else f"{title}: {values}")
        return " | ".join([*parts, f"L0: {self.quality['l0']:.2f}", f"R2: {self.quality['r2']:.4f}"])

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, as plain values."""
        out: dict[str, Any] = {"rows": self.rows, "split": SPLIT, "reconstruction": self.quality, "notes": self.texts.notes}
        if self.zero_shot is not None and self.texts.classes is not None:
            z = self.zero_shot
            out["zero_shot"] = {
                **z.metrics(),
                "retained": z.accuracy_sae / z.accuracy_clip if z.accuracy_clip else None,
                "accuracy_floor": self.floor,
                "lost": z.flips.lost,
                "gained": z.flips.gained,
                "classes": self.texts.classes.names,
                "templates": list(self.texts.classes.templates),
            }
        if self.recall is not None and self.recall_floor is not None:
            out["recall"] = {
                **self.recall.metrics(),
                **{f"recall_{k}_floor": value for k, value in zip(KS, self.recall_floor, strict=True)},
                **{f"recall_{k}_mcnemar_p": flips.p for k, flips in zip(KS, self.recall.flips, strict=True)},
                "captions": self.recall.captions,
            }
        return out


def evaluate_domain(
    sae: SAE,
    manifest: Manifest,
    embeddings: Embeddings,
    texts: Texts,
    pooled: Sequence[Quality],
    bootstrap: int,
    rng: np.random.Generator,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Domain:
    """Run a domain's held-out rows through the dictionary, a block at a time.

    Args:
        sae: the dictionary.
        manifest: which images are held out, their labels and near-duplicate groups.
        embeddings: of these images.
        texts: what to compare with.
        pooled: further accumulators to feed these rows to.
        bootstrap: resamples for intervals.
        rng: their randomness.
        tick: called with (rows done, rows); may raise to stop.
    """
    held_out = np.zeros(manifest.n, dtype=bool)
    held_out[manifest.split_rows(SPLIT)] = True
    rows = np.flatnonzero(held_out[embeddings.images])
    images = np.asarray(embeddings.images, dtype=np.int64)[rows]
    labels = np.asarray(manifest.labels, dtype=np.int64)[images]
    groups = manifest.table["group"].to_numpy(np.int64)[images]
    own = texts.captions.own[images] if texts.captions is not None else np.full(len(rows), -1, dtype=np.int64)
    quality = Quality(sae.d, sae.m)
    guesses: list[list[NDArray[np.int64]]] = [[], []]
    hits: list[list[NDArray[np.float64]]] = [[], []]
    total = np.zeros(sae.d)
    for start in range(0, len(rows), ROWS):
        block = slice(start, start + ROWS)
        x = np.asarray(embeddings.rows(rows[block]), dtype=np.float32)
        indices, values = sae.encode_sparse(x)
        x_hat = sae.decode_sparse(indices, values)
        total += x.sum(axis=0, dtype=np.float64)
        for one in (quality, *pooled):
            one.update(x, x_hat, indices, values)
        captioned = own[block] >= 0
        for side, vectors in enumerate((x, x_hat)):
            if texts.classes is not None:
                guesses[side].append(classify(vectors, texts.classes.weights))
            if texts.captions is not None:
                hits[side].append(caption_hits(vectors[captioned], own[block][captioned], texts.captions.texts, KS))
        tick(min(start + ROWS, len(rows)), len(rows))
    mean = (total / max(len(rows), 1)).astype(np.float32)[None]
    zero_shot, floor = None, None
    if texts.classes is not None and (labels >= 0).any():
        zero_shot = compare_classes(np.concatenate(guesses[0]), np.concatenate(guesses[1]), labels, bootstrap, rng, groups)
        floor = accuracy(np.broadcast_to(classify(mean, texts.classes.weights), zero_shot.labels.shape), zero_shot.labels)
    recall, recall_floor = None, None
    if texts.captions is not None and (own >= 0).any():
        captioned = own >= 0
        before, after = np.concatenate(hits[0]), np.concatenate(hits[1])
        recall = compare_recall(before, after, len(texts.captions.texts), bootstrap, rng, groups[captioned])
        wanted, count = np.unique(own[captioned], return_counts=True)
        constant = caption_hits(np.repeat(mean, len(wanted), axis=0), wanted, texts.captions.texts, KS)
        recall_floor = tuple(float(v) for v in count @ constant / count.sum())
    classified = images[zero_shot.rows] if zero_shot is not None else images[:0]
    return Domain(len(rows), quality.metrics(), texts, zero_shot, classified, floor, recall, recall_floor)
