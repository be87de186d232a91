"""One picture through CLIP and the dictionary: what it fires, what CLIP takes it for, what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from sae_core.activations.collect import check_fit
from sae_core.activations.index import Activations
from sae_core.browse.likeness import Likeness
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import Encoder
from sae_core.clip.prompts import class_directions
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError
from sae_core.evaluate.metrics import unit
from sae_core.evaluate.texts import prompt_words
from sae_core.sae.architectures import SAE

SAMPLE = 2048
"""Pictures of the data that `explained` is compared with."""
FAR = 0.02
"""Share of the data's own pictures that are explained no better than one that is called far from the data."""
LABELS = ("domain", "label", "probability", "probability_sae")


@dataclass(frozen=True)
class Reading:
    """What a picture is to a dictionary.

    Attributes:
        x: float32 [d], its raw embedding.
        latents: int64 [l], the latents it fires, strongest first.
        values: float32 [l], their activations.
        relative: float32 [l], activation / the latent's maximum over the data; 1 for a latent that never fired there.
        l0: how many latents fire.
        explained: 1 - |x - x̂|² / |x - mean|², the share of how the picture differs from the mean that the dictionary explains.
        percentile: share of the data's pictures that are explained no better, 0 to 1.
        labels: frame domain, label, probability (of CLIP), probability_sae; each domain's most probable first.
    """

    x: NDArray[np.float32]
    latents: NDArray[np.int64]
    values: NDArray[np.float32]
    relative: NDArray[np.float32]
    l0: int
    explained: float
    percentile: float
    labels: pd.DataFrame

    @property
    def is_far(self) -> bool:
        """Whether it is far from what the dictionary was trained on: explained worse than all but 2 % of the data."""
        return self.percentile < FAR


class Reader:
    """A run opened to read pictures with: its CLIP, its dictionary and its data. Nothing in it changes; share it freely."""

    def __init__(
        self,
        encoder: Encoder,
        sae: SAE,
        activations: Activations,
        embeddings: Mapping[str, Embeddings],
        manifests: Mapping[str, Manifest],
        templates: Mapping[str, str | Sequence[str]] | None = None,
        class_names: Mapping[str, Mapping[str, str]] | None = None,
        trained_on: Sequence[str] | None = None,
    ) -> None:
        """Open a run.

        Args:
            encoder: the CLIP that made the embeddings, both towers.
            sae: the dictionary.
            activations: of the dictionary over every domain.
            embeddings, manifests: of every domain.
            templates, class_names: by domain, as `evaluate` has them; a domain without its own has its rendering's templates.
            trained_on: domains that the dictionary was trained on, whose pictures say how well one is explained; None: all.

        Raises:
            InputError: the embeddings are another CLIP's, or of another width than the dictionary takes; no rows.
        """
        for domain, one in embeddings.items():
            check_fit(sae, one, domain)
            if one.encoder != encoder.id:
                raise InputError(f"domain {domain}: embeddings come from {one.encoder}, pictures would be read by {encoder.id}")
        self.encoder, self.sae, self.activations = encoder, sae, activations
        self._embeddings, self._manifests = embeddings, manifests
        self._templates, self._class_names = templates or {}, class_names or {}
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._maxima = activations.maxima
        self._likeness = Likeness(activations, embeddings)
        self._mean, self._explained = self._calibrated([embeddings[name] for name in trained_on or embeddings])

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """The domains with at least two classes, whose labels a reading has."""
        return tuple(name for name, manifest in self._manifests.items() if len(manifest.classes) >= 2)

    def read(self, image: Image.Image, domains: Sequence[str] | None = None) -> Reading:
        """Read a picture.

        Args:
            image: any size; the model sees it at its own.
            domains: whose labels are wanted; None: all that have classes. A domain's class names are embedded when it is first
                asked for.

        Raises:
            InputError: a domain without two classes.
            Unavailable: the text tower's tokenizer cannot be had here.
        """
        x = self.encoder.images([image])
        return self.reading(x[0], domains)

    def reading(self, x: NDArray[np.float32], domains: Sequence[str] | None = None) -> Reading:
        """The same for an embedding that is there already, float32 [d], such as an image's of the data."""
        indices, values = self.sae.encode_sparse(x[None])
        decoded = self.sae.decode_sparse(indices, values)[0]
        order = np.argsort(-values[0], kind="stable")
        order = order[values[0][order] > 0]
        latents, fired = indices[0][order].astype(np.int64), values[0][order].astype(np.float32)
        explained = float(_explained(x[None], decoded[None], self._mean)[0])
        below = int(np.searchsorted(self._explained, explained, side="right"))
        parts = [self._labelled(x, decoded, name) for name in (self.domains if domains is None else domains)]
        labels = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(LABELS))
        percentile = below / len(self._explained)
        return Reading(x, latents, fired, fired / self._unit(latents, fired), len(latents), explained, percentile, labels)

    def labels(self, domain: str) -> tuple[str, ...]:
        """The class names of a domain; embeds them where that has not been done. Raises InputError when it has no two."""
        self._directions(domain)
        return tuple(self._manifests[domain].classes)

    def nearest(self, reading: Reading, count: int, latent: int | None = None, domain: str | None = None) -> pd.DataFrame:
        """The data's images that look most like a picture to CLIP, near-duplicates once.

        Args:
            reading: of the picture.
            count: images wanted; fewer come where there are fewer.
            latent: only among images that fire it.
            domain: only among this domain's.

        Returns: DataFrame row (of the activations), domain, image, cosine; most alike first.

        Raises:
            InputError: no such latent or domain.
        """
        return self._likeness.nearest(reading.x, count, latent, domain)

    def changes(self, a: Reading, b: Reading) -> pd.DataFrame:
        """What changed from one picture to another, latent by latent.

        Returns: DataFrame latent, before, after (activations), change = (after - before) / the latent's maximum over the data (or
            the larger of the two, where it never fired there); largest change first, only latents that changed.
        """
        latents = np.union1d(a.latents, b.latents)
        before, after = (_at(latents, one) for one in (a, b))
        change = (after - before) / self._unit(latents, np.maximum(before, after))
        table = pd.DataFrame({"latent": latents, "before": before, "after": after, "change": change})
        changed = table[table["change"] != 0]
        return changed.sort_values("change", key=np.abs, ascending=False, kind="stable", ignore_index=True)

    # ---------------------------------------------------------------- parts

    def _unit(self, latents: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
        maxima = self._maxima[latents]
        return np.where(maxima > 0, maxima, values)

    def _calibrated(self, parts: Sequence[Embeddings]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The mean embedding float32 [d] and the sorted `explained` of at most SAMPLE of the data's pictures, evenly spread."""
        total = sum(one.n for one in parts)
        if not total:
            raise InputError("there are no embeddings to compare a picture with; embed some images first")
        some = []
        for one in parts:
            share = max(1, round(SAMPLE * one.n / total)) if one.n else 0
            some.append(one.rows(np.unique(np.linspace(0, one.n - 1, min(share, one.n)).astype(np.int64))))
        x = np.concatenate(some)
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean, np.sort(_explained(x, self.sae(x), mean))

    def _labelled(self, x: NDArray[np.float32], decoded: NDArray[np.float32], domain: str) -> pd.DataFrame:
        directions = self._directions(domain)
        both = unit(np.stack([x, decoded])) @ directions.T
        p = softmax(self.encoder.logit_scale * both.astype(np.float64), axis=1)
        order = np.argsort(-p[0], kind="stable")
        names = np.array(self._manifests[domain].classes, dtype=object)[order]
        return pd.DataFrame(dict(zip(LABELS, (domain, names, p[0, order], p[1, order]), strict=True)))

    def _directions(self, domain: str) -> NDArray[np.float32]:
        if domain not in self.domains:
            raise InputError(
                f"domain {domain!r} has no two classes to tell apart; with classes: {', '.join(self.domains) or 'none'}"
            )
        if domain not in self._weights:
            manifest = self._manifests[domain]
            words = prompt_words(domain, manifest.classes, self._class_names.get(domain, {}))
            self._weights[domain] = class_directions(self.encoder, words, self._templates.get(domain, manifest.rendering))
        return self._weights[domain]


def _explained(x: NDArray[np.float32], decoded: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - |x - x̂|² / |x - mean|² of each row, float64 [n]."""
    error = ((x - decoded).astype(np.float64) ** 2).sum(axis=1)
    spread = ((x - mean).astype(np.float64) ** 2).sum(axis=1)
    return np.asarray(1 - error / np.maximum(spread, 1e-12), dtype=np.float64)


def _at(latents: NDArray[np.int64], reading: Reading) -> NDArray[np.float32]:
    found = np.zeros(len(latents), dtype=np.float32)
    found[np.searchsorted(latents, reading.latents)] = reading.values
    return found
