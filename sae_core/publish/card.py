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

CONTROLS = (
    "Controls on the same images: every embedding replaced by the mean; as many principal components as the dictionary has "
    "latents an image (L0); a random dictionary of the same width and L0 whose encoder alone is trained."
)


def model_card(run: Run) -> str:
    """The card as Markdown. Numbers that the run has not measured are left out, never guessed."""
    config, metrics = run.config, run.metrics
    parts = [
        f"# {config.name}: a sparse autoencoder on CLIP image embeddings",
        _what(config),
        BUNDLED_NOTE if config.clip.model == "bundled" and embeds(config) else "",
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


def embeds(config: RunConfig) -> bool:
    """Whether any domain's images are embedded here, and not given as precomputed embeddings."""
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
        trained = "" if domain in config.train_domains else " (not trained on)"
        measures = [("zero-shot accuracy", "accuracy_{}", "delta", "n")]
        measures += [(f"caption recall@{k}", f"recall_{k}_{{}}", f"recall_{k}_delta", "recall_n") for k in (1, 5, 10)]
        for measure, value, delta, n in measures:
            if f"{domain}.{delta}" not in metrics:
                continue
            kinds = (metrics[f"{domain}.{value.format(kind)}"] for kind in ("clip", "sae", "floor", "pca", "random"))
            clip, sae, *controls = (f"{number:.4f}" for number in kinds)
            change, low, high = (metrics[f"{domain}.{delta}{end}"] for end in ("", "_ci_low", "_ci_high"))
            interval = f"{change:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells = [f"{domain}{trained}", measure, clip, sae, interval, *controls, str(int(metrics[f"{domain}.{n}"]))]
            rows.append(f"| {' | '.join(cells)} |")
    columns = ["domain", "measure", "CLIP", "CLIP+SAE", "delta [95 % CI]", "mean ablation", "PCA", "random dictionary", "n"]
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*head, *rows, "", CONTROLS]) if rows else "Not measured."
