"""The numbers a run is judged by, in the words of a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sae_core as sc
from pages._ui.text import count


@dataclass(frozen=True)
class Number:
    """One number as `st.metric` takes it: label, value, the line below, and what it means."""

    label: str
    value: str
    below: str | None
    help: str


def of_domain(domain: str, metrics: Mapping[str, float]) -> list[Number]:
    """What the dictionary costs CLIP on a domain: zero-shot accuracy, or caption recall; empty when nothing was measured."""
    after, n = metrics.get(f"{domain}.accuracy_sae"), metrics.get(f"{domain}.n", 0)
    if after is not None:
        before, low, high = (metrics[f"{domain}.{name}"] for name in ("accuracy_clip", "delta_ci_low", "delta_ci_high"))
        change = f"{100 * metrics[f'{domain}.delta']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        text = f"Zero-shot accuracy on {count(n, 'held-out image')}; paired difference to CLIP alone with its 95 % interval."
        return [
            Number(f"{domain}: CLIP", f"{100 * before:.1f} %", None, text),
            Number(f"{domain}: CLIP+SAE", f"{100 * after:.1f} %", change, text),
        ]
    recall = metrics.get(f"{domain}.recall_1_sae")
    if recall is not None:
        before = metrics[f"{domain}.recall_1_clip"]
        text = f"The image's own caption comes first among all distinct captions, on {count(n, 'held-out image')}."
        return [
            Number(f"{domain}: recall@1, CLIP", f"{100 * before:.1f} %", None, text),
            Number(f"{domain}: recall@1, CLIP+SAE", f"{100 * recall:.1f} %", f"{100 * (recall - before):+.1f} points", text),
        ]
    return []


def of_dictionary(metrics: Mapping[str, float]) -> list[Number]:
    """How well and how sparsely the dictionary rebuilds held-out embeddings."""
    found = []
    if "r2" in metrics:
        found.append(
            Number(
                "R²",
                f"{metrics['r2']:.3f}",
                None,
                "Explained variance of held-out embeddings, centred on their mean; 1 is perfect.",
            )
        )
    if "l0" in metrics:
        found.append(Number("L0", f"{metrics['l0']:.1f}", None, "Latents that fire on an image, on average."))
    if "dead_fraction" in metrics:
        text = "Latents that fire on no image they were trained or tested on."
        found.append(Number("Dead latents", f"{100 * metrics['dead_fraction']:.1f} %", None, text))
    return found


def row(run: sc.pipeline.Recorded, metrics: Mapping[str, float]) -> dict[str, object]:
    """A run as a line of the run table."""
    sae = run.config.sae
    sparsity = f"k {sae.architecture.k}" if isinstance(sae.architecture, sc.config.TopK) else f"L1 {sae.architecture.l1:g}"
    cells: dict[str, object] = {
        "run": run.name,
        "trained on": " + ".join(run.config.train_domains),
        "CLIP": "bundled demo model" if run.config.clip.model == "bundled" else run.config.clip.model,
        "dictionary": f"{sae.architecture.kind}, {sparsity}, width {sae.width:,}",
        "R²": metrics.get("r2"),
        "L0": metrics.get("l0"),
    }
    for domain in run.config.data:
        cells[f"{domain}: change"] = metrics.get(f"{domain}.delta")
    return cells
