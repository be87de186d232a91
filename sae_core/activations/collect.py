"""Stage `collect`: encode every row of every domain and store the codes, sparse, by row and by latent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import resolve_device
from sae_core.config import CollectConfig, Runtime
from sae_core.data.manifest import Manifest
from sae_core.errors import InputError
from sae_core.progress import Event, Report
from sae_core.sae.architectures import SAE
from sae_core.store import Inputs

VERSION = 1
__all__ = ["VERSION", "Activations", "run"]


def run(config: CollectConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Activations:
    """Encode all embeddings with the dictionary and write the activation store.

    Nothing of an earlier attempt is kept: encoding a million rows takes less time than a resume would save.

    Inputs: `sae`, and `manifest:<domain>`, `embed:<domain>` of every domain; rows follow the domains' order.
    Raises: InputError when a domain's embeddings are not what the dictionary takes.
    """
    sae = SAE.load(inputs["sae"]).to(resolve_device(runtime.device))
    domains = {name: Embeddings.load(path) for name, path in inputs.domains("embed").items()}
    for name, embeddings in domains.items():
        check_fit(sae, embeddings, name)
    total = sum(embeddings.n for embeddings in domains.values())
    writer = Writer(out_dir, sae.m)
    try:
        for embeddings in domains.values():
            for start in range(0, embeddings.n, config.batch_rows):
                rows = np.arange(start, min(start + config.batch_rows, embeddings.n))
                indices, values = sae.encode_sparse(embeddings.rows(rows))
                writer.append(indices, values)
                # The last tenth of the bar is the sorting.
                report(Event("collect", round(0.9 * writer.n), total, {"l0": writer.nonzeros / writer.n}))
    finally:
        writer.close()
    tables = [rows_of(name, embeddings, Manifest.load(inputs[f"manifest:{name}"])) for name, embeddings in domains.items()]
    about = {"sae": inputs["sae"].name, "encoder": next(iter(domains.values())).encoder}
    writer.finish(tables, about, lambda done, of: report(Event("collect", round((0.9 + 0.1 * done / max(of, 1)) * total), total)))
    report(Event("collect", total, total, {"l0": writer.nonzeros / total}))
    return Activations.load(out_dir)


def rows_of(domain: str, embeddings: Embeddings, manifest: Manifest) -> Rows:
    """What the manifest says of the image behind each embedding row."""
    images = np.asarray(embeddings.images, dtype=np.int64)
    table = manifest.table
    split = table["split"].to_numpy(dtype=str)
    labels: NDArray[np.int64] = np.asarray(manifest.labels, dtype=np.int64)
    return Rows(domain, images, split[images], labels[images], table["group"].to_numpy(np.int64)[images])


def check_fit(sae: SAE, embeddings: Embeddings, domain: str) -> None:
    """Refuse embeddings of another width or of another CLIP than the dictionary was trained on.

    Raises: InputError naming the domain, what it has and what the dictionary takes.
    """
    if embeddings.d != sae.d:
        raise InputError(f"domain {domain}: embeddings are {embeddings.d} wide, the dictionary takes {sae.d}; train on this CLIP")
    if sae.encoder_id and embeddings.encoder != sae.encoder_id:
        raise InputError(
            f"domain {domain}: embeddings come from {embeddings.encoder}, the dictionary was trained on {sae.encoder_id}; "
            "embed with the same CLIP"
        )
