"""The model card of a run: what it was trained on, what it costs CLIP, how to load it. Every number comes from the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sae_core.config import RunConfig, dump_yaml, sparsity


class Run(Protocol):
    """What publication needs to know of a run (a `pipeline.Run`): by node, the artifacts' keys and folders."""

    @property
    def id(self) -> str: ...
    @property
    def config(self) -> RunConfig: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def keys(self) -> Mapping[str, str]: ...
    @property
    def paths(self) -> Mapping[str, Path]: ...


BUNDLED_NOTE = (
    "**The images were embedded with the bundled demo model**, a small CLIP trained on this project's drawn world. It is a "
    "stand-in for a first minute and for tests; nothing here says anything about OpenAI's CLIP."
)

LOAD = """```python
import sae_core as sc
sae = sc.load_sae("dictionary")  # the folder beside this file
z = sae.encode(x)  # x: float32 [n, d], raw CLIP image embeddings
```"""
LIMITS = (
    "Names of latents, where there are any, were given by the same CLIP that made the features and are scored by it: read "
    "the scores as consistency, not as proof. R² is centred on the vector mean of the evaluated split."
)


def model_card(run: Run) -> str:
    """The card as Markdown. Numbers that the run has not measured are left out, never guessed."""
    config, metrics = run.config, run.metrics
    parts = [
        f"# {config.name}: a sparse autoencoder on CLIP image embeddings",
        _what(config),
        BUNDLED_NOTE if config.clip.model == "bundled" and _embeds(config) else "",
        "## Reconstruction on held-out images",
        _quality(metrics),
        "## What it costs CLIP",
        _domains(config, metrics),
        "## Load it",
        LOAD,
        "## Limits",
        LIMITS,
        "## Configuration",
        f"```yaml\n{dump_yaml(config)}```",
        "Artifacts: " + ", ".join(f"`{key}`" for name, key in run.keys.items() if ":" not in name),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _embeds(config: RunConfig) -> bool:
    return any(source.source != "arrays" for source in config.data.values())


def _what(config: RunConfig) -> str:
    sae = config.sae
    clip = f"{config.clip.model}/{config.clip.pretrained}" if config.clip.pretrained else config.clip.model
    encoders = {s.encoder if s.source == "arrays" else clip for s in config.data.values()}
    data = "; ".join(f"{domain}: {source.source}" for domain, source in config.data.items())
    return (
        f"Architecture {sae.architecture.kind} ({sparsity(sae.architecture)}), width {sae.width}, seed {sae.seed}. "
        f"Encoder: {', '.join(sorted(encoders))}. Data: {data}. Trained on the train split of {', '.join(config.train_domains)}."
    )


def _quality(metrics: Mapping[str, float]) -> str:
    names = {
        "r2": "R² (centred)",
        "r2_uncentred": "R² (uncentred)",
        "cosine": "cosine",
        "l0": "L0",
        "dead_fraction": "dead fraction",
        "dense_fraction": "dense fraction (fires on > 10 %)",
    }
    rows = [f"| {label} | {metrics[name]:.4f} |" for name, label in names.items() if name in metrics]
    return "\n".join(["| metric | value |", "|---|---|", *rows]) if rows else "Not measured."


def _domains(config: RunConfig, metrics: Mapping[str, float]) -> str:
    rows = []
    for domain in config.data:
        if f"{domain}.delta" in metrics:
            clip, sae, delta, low, high = (
                metrics[f"{domain}.{name}"]
                for name in ("accuracy_clip", "accuracy_sae", "delta", "delta_ci_low", "delta_ci_high")
            )
            n = int(metrics[f"{domain}.n"])
            rows.append(
                f"| {domain} | zero-shot accuracy | {clip:.4f} | {sae:.4f} | {delta:+.4f} [{low:+.4f}, {high:+.4f}] | {n} |"
            )
        for at in (1, 5, 10):
            if f"{domain}.recall_{at}_clip" in metrics:
                clip, sae = metrics[f"{domain}.recall_{at}_clip"], metrics[f"{domain}.recall_{at}_sae"]
                n = int(metrics[f"{domain}.n"])
                rows.append(f"| {domain} | caption recall@{at} | {clip:.4f} | {sae:.4f} | {sae - clip:+.4f} | {n} |")
    head = ["| domain | measure | CLIP | CLIP+SAE | delta [95 % CI] | n |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else "Not measured."
