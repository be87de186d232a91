"""Embeddings that are one concept each, with the concept's text; captions name it. And the configuration of a run over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sae_core.config import RunConfig, validate
from sae_core.evaluate.metrics import unit

CONCEPTS, D, N = 12, 512, 400


def plant(folder: Path) -> None:
    """Write the embeddings, the texts and the captions."""
    rng = np.random.default_rng(1)
    concepts = unit(rng.standard_normal((CONCEPTS, D)))
    main, other = rng.integers(0, CONCEPTS, (2, N))
    x = 3 * concepts[main] + 0.5 * concepts[other] + 0.03 * rng.standard_normal((N, D))
    folder.mkdir(parents=True)
    np.save(folder / "image_embeddings.npy", (3 * x).astype(np.float32))
    np.save(folder / "text_embeddings.npy", (4 * concepts[main]).astype(np.float32))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(N)], "caption": [f"concept {c}" for c in main]})
    table.to_csv(folder / "metadata.csv", index=False)


def config_for(folder: Path, **changes: object) -> RunConfig:
    """A small dictionary over them; `changes` are sections such as `steer`."""
    raw = {
        "data": {"source": "arrays", "path": str(folder), "encoder": "ViT-B-32/openai"},
        "clip": {"model": "ViT-B-32", "pretrained": "openai"},
        "sae": {"architecture": {"kind": "topk", "k": 3}, "width": 20, "steps": 400, "batch_size": 128},
        "interpret": {"vocabulary": "captions", "templates": ["{}"]},
        **changes,
    }
    return validate(RunConfig, raw, "test")
