"""Stage `directions`: a map of the dictionary, on which latents whose decoder rows point alike lie close together.

    dictionary, activations -> [directions]

t-SNE with cosine distances, from the first two principal components. On the dictionaries tried it keeps more neighbours than UMAP
or the components alone (trustworthiness 0.86 against 0.81 and 0.64 on the demo's, 0.76 against 0.70 and 0.63 on a 1,024 x 512 one
of real sketches), takes a quarter of UMAP's time at 8,192 latents, has nothing to compile and comes with scikit-learn.

Near means alike; how far apart far points are, and how large an island is, mean nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.config import DirectionsConfig, Runtime
from sae_core.errors import DamagedArtifact, InputError
from sae_core.evaluate.metrics import unit
from sae_core.progress import Event, Report, silent
from sae_core.sae.architectures import SAE
from sae_core.store import Inputs, write_atomic

__all__ = ["Directions", "run", "trustworthiness"]

FORMAT = 1
FEW = 10
"""Fewer latents than this have no neighbourhoods to keep: they are laid out by their first two components."""
NEIGHBOURS = 15
ASKED = 1024
"""Latents whose neighbours are looked at for the trustworthiness."""
TABLE, ABOUT = "directions.parquet", "directions.json"


@dataclass(frozen=True)
class Directions:
    """The map.

    Attributes:
        table: a row a latent that is on it: latent, x, y (no unit).
        about: method, latents, alive, trustworthiness (None where there are too few), perplexity, seed, seconds.
    """

    table: pd.DataFrame
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Directions:
        """Read a directions artifact. Raises InputError when there is none, DamagedArtifact when it cannot be read."""
        folder = Path(folder)
        if not (folder / ABOUT).is_file():
            raise InputError(f"no map of directions in {folder}; make it with the directions command")
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            return cls(pd.read_parquet(folder / TABLE)[["latent", "x", "y"]], about)
        except (OSError, ValueError, KeyError) as error:
            raise DamagedArtifact(f"the map in {folder} cannot be read: {error}; remove it and make it again") from None

    def save(self, folder: Path) -> None:
        """Write directions.parquet and directions.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_parquet(folder / TABLE, index=False)
        write_atomic(folder / ABOUT, json.dumps({"format": FORMAT, **self.about}, indent=1, allow_nan=False).encode())

    def metrics(self) -> dict[str, float]:
        """How many latents are on the map, and its trustworthiness where that is defined."""
        found = {"directions_latents": float(len(self.table))}
        if self.about["trustworthiness"] is not None:
            found["directions_trustworthiness"] = float(self.about["trustworthiness"])
        return found


def run(
    config: DirectionsConfig,
    inputs: Inputs,
    out_dir: Path,
    report: Report = silent,
    runtime: Runtime = Runtime(),
) -> Directions:
    """Lay out the decoder directions of the latents that fire.

    Inputs: `sae`, `activations`.
    Raises: Cancelled from `report`, which hears of the layout every second.
    """
    started = time.perf_counter()
    acts, sae = Activations.load(inputs["activations"]), SAE.load(inputs["sae"])
    latents = np.sort(acts.strongest(config.latents))
    units = unit(sae.decoder_raw.detach().cpu().numpy()[latents])
    if len(latents) < FEW:
        places, method, kept = _components(units), f"two principal components, since fewer than {FEW} latents fire", None
    else:
        places = _patiently(lambda: _tsne(units, config), report, f"laying out {len(latents):,} directions")
        method, kept = "t-SNE, cosine distance", trustworthiness(units, places, NEIGHBOURS, np.random.default_rng(config.seed))
    about = {
        "method": method,
        "latents": len(latents),
        "alive": len(acts.alive()),
        "trustworthiness": None if kept is None else round(kept, 4),
        "neighbours": NEIGHBOURS,
        "perplexity": config.perplexity,
        "seed": config.seed,
        "seconds": round(time.perf_counter() - started, 1),
    }
    found = Directions(pd.DataFrame({"latent": latents, "x": places[:, 0], "y": places[:, 1]}), about)
    found.save(out_dir)
    report(Event("directions", 1, 1, found.metrics()))
    return found


def _tsne(units: NDArray[np.float32], config: DirectionsConfig) -> NDArray[np.float32]:
    # Imported here: half a second that nothing else needs.
    from sklearn.manifold import TSNE

    perplexity = min(config.perplexity, (len(units) - 1) / 3)
    layout = TSNE(2, metric="cosine", init=_components(units) * 1e-4, perplexity=perplexity, random_state=config.seed)
    return np.asarray(layout.fit_transform(units), dtype=np.float32)


def _components(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two principal components, each row's coordinates float32 [n, 2], the first with standard deviation 1."""
    places = np.zeros((len(units), 2), dtype=np.float64)
    if len(units) > 1:
        centred = units.astype(np.float64) - units.mean(axis=0, dtype=np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, ::-1][:, :2]
        # An eigenvector's sign is arbitrary: its largest entry is made positive, so that the map is not mirrored by chance.
        axes = axes * np.sign(axes[np.argmax(np.abs(axes), axis=0), np.arange(axes.shape[1])])
        places[:, : axes.shape[1]] = centred @ axes
        places /= max(float(places[:, 0].std()), 1e-12)
    return places.astype(np.float32)


def _patiently(work: Callable[[], NDArray[np.float32]], report: Report, message: str) -> NDArray[np.float32]:
    """Work without steps, in a thread, with the seconds it has taken reported; a report that raises leaves it behind."""
    done: list[NDArray[np.float32]] = []
    failed: list[Exception] = []

    def target() -> None:
        try:
            done.append(work())
        except Exception as error:  # handed on below, in the thread that asked
            failed.append(error)

    report(Event("directions", 0, 1, {}, message))
    thread = threading.Thread(target=target, daemon=True)
    started = time.perf_counter()
    thread.start()
    while thread.is_alive():
        thread.join(1.0)
        report(Event("directions", 0, 1, {"seconds": round(time.perf_counter() - started, 1)}))
    if failed:
        raise failed[0]
    return done[0]


def trustworthiness(
    units: NDArray[np.float32], places: NDArray[np.float32], neighbours: int, rng: np.random.Generator, asked: int = ASKED
) -> float:
    """How far the neighbours on a map are neighbours in truth.

        T = 1 - 2 / (q k (2n - 3k - 1)) · Σ_i Σ_{j among i's k nearest on the map} max(0, r(i, j) - k)

    r(i, j) is the rank of j among the points nearest to i by cosine, 1 the nearest. 1: every neighbour on the map is one of the k
    nearest; a map at random has about 0.5. The sum is over q points drawn at random, all of them where there are no more.

    Args:
        units: float32 [n, d] unit rows.
        places: float32 [n, 2].
        neighbours: k, made smaller where there are fewer than 2k points.
        rng: draws the points.
        asked: q.

    Source: Venna & Kaski 2001; equals scikit-learn's `trustworthiness` with metric cosine for q = n, which needs n² numbers.
    """
    n = len(units)
    k = min(neighbours, (n - 1) // 2)
    points = np.arange(n) if n <= asked else np.sort(rng.choice(n, asked, replace=False))
    squares = (places.astype(np.float64) ** 2).sum(axis=1)
    total = 0.0
    for i in points:
        near = squares - 2 * places.astype(np.float64) @ places[i]
        near[i] = np.inf
        on_map = np.argpartition(near, k)[:k]
        cosine = units @ units[i]
        cosine[i] = -np.inf
        rank = 1 + (cosine[None, :] > cosine[on_map, None]).sum(axis=1)
        total += float(np.maximum(0, rank - k).sum())
    return 1 - 2 * total / (len(points) * k * (2 * n - 3 * k - 1))
