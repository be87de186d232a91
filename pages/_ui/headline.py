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
    images = count(metrics.get(f"{domain}.n", 0), "held-out image")
    if f"{domain}.accuracy_sae" in metrics:
        return _pair(domain, "", "accuracy", "", f"Zero-shot accuracy on {images}", metrics)
    if f"{domain}.recall_1_sae" in metrics:
        text = f"How often the image's own caption comes first among all distinct captions, on {images}"
        return _pair(domain, " recall@1", "recall_1", "recall_1_", text, metrics)
    return []


def _pair(domain: str, what: str, name: str, prefix: str, text: str, metrics: Mapping[str, float]) -> list[Number]:
    before, after = metrics[f"{domain}.{name}_clip"], metrics[f"{domain}.{name}_sae"]
    low, high = metrics[f"{domain}.{prefix}delta_ci_low"], metrics[f"{domain}.{prefix}delta_ci_high"]
    change = f"{100 * metrics[f'{domain}.{prefix}delta']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    return [
        Number(f"{domain}{what}: CLIP", f"{100 * before:.1f} %", None, f"{text}."),
        Number(
            f"{domain}{what}: CLIP+SAE",
            f"{100 * after:.1f} %",
            change,
            f"{text}; paired difference to CLIP with its 95 % interval.",
        ),
    ]


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


def _encoders(config: sc.RunConfig) -> list[str]:
    """The CLIPs that made a run's embeddings; arrays bring their own."""
    clip = f"{config.clip.model}/{config.clip.pretrained}" if config.clip.pretrained else config.clip.model
    own = "bundled demo model" if clip == "bundled" else clip
    return sorted({one.encoder if isinstance(one, sc.config.ArraySource) else own for one in config.data.values()})


def row(run: sc.pipeline.Recorded, metrics: Mapping[str, float]) -> dict[str, object]:
    """A run as a line of the run table."""
    sae = run.config.sae
    sparsity = sc.config.sparsity(sae.architecture)
    cells: dict[str, object] = {
        "run": run.name,
        "trained on": " + ".join(run.config.train_domains),
        "CLIP": ", ".join(_encoders(run.config)),
        "dictionary": f"{sae.architecture.kind}, {sparsity}, width {sae.width:,}",
        "R²": metrics.get("r2"),
        "L0": metrics.get("l0"),
    }
    for domain in run.config.data:
        cells[f"{domain}: change"] = metrics.get(f"{domain}.delta")
    return cells
