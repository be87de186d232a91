"""The model card of a run: what it was trained on, what it costs CLIP, how to load it. Every number comes from the run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sae_core.config import RunConfig, dump_yaml, sparsity
from sae_core.publish.data import data_table
from sae_core.publish.licences import NOT_STATED, NOTHING, Licences
from sae_core.publish.metadata import metadata
from sae_core.publish.portable import portable
from sae_core.publish.run import Run as Run

BUNDLED_NOTE = (
    "**The images were embedded with the bundled demo model**, a small CLIP trained on this project's drawn world. It is a "
    "stand-in for a first minute and for tests; nothing here says anything about OpenAI's CLIP."
)

LOAD = """```python
import sae_core as sc
sae = sc.load_sae("{where}")
z = sae.encode(x)  # x: float32 [n, {d}], raw image embeddings of {encoder}; z: float32 [n, {m}]
```"""
LIMITS = (
    "Names of latents, where there are any, were given by the same CLIP that made the features and are scored by it: read "
    "the scores as consistency, not as proof. R² is centred on the vector mean of the evaluated split."
)

CONTROLS = (
    "Controls on the same images: every embedding replaced by the mean; as many principal components as the dictionary has "
    "latents an image (L0); a random dictionary of the same width and L0 whose encoder alone is trained."
)
CONVENTION = (
    "R² = 1 - Σ‖x - x̂‖² / Σ‖x - x̄‖² over held-out images, x the raw CLIP embedding and x̄ the vector mean of the evaluated "
    "split; the uncentred one divides by Σ‖x‖² and flatters. L0 is the mean number of latents with z > 0 an image."
)
DELTA = (
    "Delta is accuracy through the dictionary minus accuracy of CLIP on the same held-out images; its interval is a 95 % "
    "percentile bootstrap that resamples near-duplicate images together."
)


def model_card(run: Run, *, licences: Licences = NOTHING, repo: str | None = None) -> str:
    """The card as Markdown with its front matter. Numbers that the run has not measured are left out, never guessed.

    Args:
        licences: what the publisher states; what is not stated is said to be so.
        repo: the Hub's repository it is for; None for a folder.
    """
    config, metrics = run.config, run.metrics
    load = LOAD.format(where=f"hf://{repo}" if repo else "dictionary", **_sizes(run))
    parts = [
        f"---\n{metadata(config, metrics, licences)}\n---",
        f"# {config.name}: a sparse autoencoder on CLIP image embeddings",
        _what(config),
        BUNDLED_NOTE if config.clip.model == "bundled" and embeds(config) else "",
        "## Load it",
        load,
        f"`python -m sae_core import hf://{repo}` brings dictionary, names and evaluation back into the lab." if repo else "",
        "## Reconstruction on held-out images",
        _quality(metrics),
        CONVENTION,
        "## What it costs CLIP",
        _domains(config, metrics),
        "## Training data and splits",
        data_table(run, licences),
        "## Licence",
        _licence(config, licences),
        "## Limits",
        LIMITS,
        "## Configuration",
        f"```yaml\n{dump_yaml(portable(config))}```",
        "Artifacts: " + ", ".join(f"`{key}`" for name, key in run.keys.items() if ":" not in name),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sizes(run: Run) -> dict[str, object]:
    """d, m and encoder of the dictionary, for the lines that load it."""
    if "train" not in run.paths:
        return {"d": "d", "m": run.config.sae.width, "encoder": "the run's CLIP"}
    said = json.loads((run.paths["train"] / "config.json").read_text(encoding="utf-8"))
    return {"d": said["d"], "m": said["m"], "encoder": said.get("encoder") or "the run's CLIP"}


def _licence(config: RunConfig, licences: Licences) -> str:
    lines = [f"- The dictionary and the tables here: {licences.dictionary or NOT_STATED}."]
    lines += [
        f"- Images of {domain}, none of which are here: {licences.of(config, domain) or NOT_STATED}." for domain in config.data
    ]
    return "\n".join(lines)


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
    return "\n".join([*head, *rows, "", DELTA, "", CONTROLS]) if rows else "Not measured."
