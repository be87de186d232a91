"""The front matter of a model card: what machines read of it, by huggingface_hub's own classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_core.config import RunConfig, Source
from sae_core.publish.licences import Licences, front_matter

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAGS = ("sparse-autoencoder", "clip", "interpretability", "sketch", "sketch-sae-lab")
LIBRARY = "sketch-sae-lab"
TASK = "zero-shot-image-classification"
SHOWN = {
    "accuracy_sae": ("accuracy", "zero-shot accuracy of CLIP through the dictionary"),
    "accuracy_clip": ("accuracy", "zero-shot accuracy of CLIP"),
    "delta": ("accuracy_delta", "change in zero-shot accuracy"),
    "recall_1_sae": ("recall", "caption recall@1 of CLIP through the dictionary"),
    "recall_1_clip": ("recall", "caption recall@1 of CLIP"),
    "recall_1_delta": ("recall_delta", "change in caption recall@1"),
    "r2": ("r2", "R² of the embeddings, centred on the split's mean"),
    "l0": ("l0", "L0: latents that fire an image"),
}
"""A domain's metrics on a card: type and name."""


def metadata(config: RunConfig, metrics: Mapping[str, float], licences: Licences) -> str:
    """The YAML between the two lines of dashes; numbers that the run has not measured are left out."""
    from huggingface_hub import ModelCardData

    results = eval_results(config, metrics)
    data_sets = sorted({name for source in config.data.values() if (name := hub_name(source)) is not None})
    return ModelCardData(
        model_name=config.name,
        library_name=LIBRARY,
        tags=list(TAGS),
        datasets=data_sets or None,
        metrics=sorted({result.metric_type for result in results if result.metric_type in ("accuracy", "recall")}) or None,
        eval_results=results or None,
        **front_matter(licences.dictionary),  # type: ignore[arg-type]
    ).to_yaml(line_break="\n")


def eval_results(config: RunConfig, metrics: Mapping[str, float]) -> list[EvalResult]:
    """A result for each domain and metric, with the data set, the split and, for a difference, its interval."""
    from huggingface_hub import EvalResult

    found = []
    for domain, source in config.data.items():
        for name, (kind, said) in SHOWN.items():
            if f"{domain}.{name}" not in metrics:
                continue
            found.append(
                EvalResult(
                    task_type=TASK,
                    task_name="zero-shot classification of held-out images",
                    dataset_type=hub_name(source) or f"{source.source}-{domain}",
                    dataset_name=f"{domain}: {described(source)}",
                    dataset_split="test",
                    dataset_args=_split(source, metrics.get(f"{domain}.n")),
                    metric_type=kind,
                    metric_name=f"{domain}: {said}",
                    metric_value=round(float(metrics[f"{domain}.{name}"]), 6),
                    metric_args=_interval(metrics, f"{domain}.{name}"),
                )
            )
    return found


def _split(source: Source, n: float | None) -> dict[str, Any]:
    said = {"held_out": source.test_fraction, "split_seed": source.split_seed}
    return said if n is None else {**said, "images": int(n)}


def _interval(metrics: Mapping[str, float], name: str) -> dict[str, float] | None:
    ends = [metrics.get(f"{name}_ci_{end}") for end in ("low", "high")]
    low, high = ends
    return None if low is None or high is None else {"ci_95_low": round(float(low), 6), "ci_95_high": round(float(high), 6)}


def hub_name(source: Source) -> str | None:
    """The data set's name on the Hub, None where its images are of another kind or lie on this machine."""
    if source.source != "hub":
        return None
    from sae_core.data.sources.hub import known

    name = known(source.name).repo
    on_hub = re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?", name) and not Path(source.name).expanduser().exists()
    return name if on_hub else None


def described(source: Source) -> str:
    """A source in words, without the path of anything on this machine."""
    if source.source == "drawn":
        return f"drawn world, {source.n} as {source.rendering}, seed {source.seed}"
    if source.source == "hub":
        at = f" at {source.revision}" if source.revision else ""
        return f"{hub_name(source) or 'a local data set'}{at}"
    if source.source == "arrays":
        return f"precomputed embeddings ({Path(source.path).name})"
    return f"a folder of images ({Path(source.path).name})"
