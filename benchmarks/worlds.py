"""What the experiments look at: the pictures of a configuration's domains with their embeddings, labels and stroke measures.

Everything is made by the pipeline's own stages and stays in its cache, so that a second run begins at once.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import sae_core
from benchmarks import tables
from benchmarks.workers import ROOT
from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest
from sae_core.data.split import split

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TEST_FRACTION = 0.2
RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class World:
    """A domain: row i of everything is picture i.

    Attributes:
        x: float32 [n, d], raw embeddings.
        labels: int64 [n], class of each, -1 for none.
        groups: int64 [n], near-duplicates.
        manifest, embeddings: where these come from.
        strokes: the stroke measures, one line a picture; None where they were not asked for.
    """

    name: str
    x: Floats
    labels: Ints
    groups: Ints
    manifest: Manifest
    embeddings: Embeddings
    strokes: pd.DataFrame | None

    @property
    def identity(self) -> str:
        """What the results hang on: embeddings, labels and measures."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).tobytes() + self.labels.tobytes())
        if self.strokes is not None:
            digest.update(self.strokes.to_csv(index=False).encode())
        return digest.hexdigest()[:12]

    def held_out(self, seed: int) -> NDArray[np.bool_]:
        """Another split of the same pictures, by near-duplicate group, as the manifest makes its own: bool [n], True for test."""
        identities = self.manifest.table["sha256"].tolist()
        return split(self.labels, self.groups, identities, TEST_FRACTION, seed)


def worlds(config: str, overrides: Sequence[str], cache: Path, strokes: bool = False) -> dict[str, World]:
    """The domains of a configuration by name, embedded (and measured) by the pipeline.

    Raises: InputError when the configuration or its data are wrong, or pictures are missing where strokes are wanted.
    """
    keys = dict(sae_core.run(str(ROOT / config), cache=cache, stage="embed", overrides=overrides).keys)
    if strokes:
        # Every picture is measured: those left out would be missing in the experiment.
        everything = [*overrides, "strokes.images=null"]
        keys |= sae_core.run(str(ROOT / config), cache=cache, stage="strokes", overrides=everything).keys
    found = {}
    for node, key in keys.items():
        stage, _, name = node.partition(":")
        if stage == "embed":
            manifest, embeddings = sae_core.load_manifest(keys[f"manifest:{name}"], cache), sae_core.load_embeddings(key, cache)
            measures = _measures(keys[f"strokes:{name}"], cache) if strokes else None
            found[name] = World(name, embeddings.array(), manifest.labels, manifest.groups, manifest, embeddings, measures)
    return found


def _measures(key: str, cache: Path) -> pd.DataFrame:
    from sae_core.data.strokes import StrokeTable

    table = StrokeTable.load(sae_core.Store(cache).open(key).path)
    return pd.DataFrame(table.values, columns=table.names)


def code_of(*parts: str) -> str:
    """Hash of the source that results depend on: files and folders of `sae_core`."""
    digest = hashlib.sha256()
    for part in parts:
        path = ROOT / "sae_core" / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line that the experiments share."""
    made = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=description)
    made.add_argument(
        "--data", help="folder of the design patents: image_embeddings.npy, text_embeddings.npy, metadata.csv, images/"
    )
    made.add_argument("--cache", type=Path, default=Path("cache"), help="where the pipeline keeps what it makes")
    made.add_argument("--results", type=Path, default=RESULTS / f"{name}.jsonl", help="finished runs, which are not made again")
    made.add_argument("--readme", type=Path, default=tables.README)
    made.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing")
    return made


def patents(folder: str, cache: Path, strokes: bool = False, overrides: Sequence[str] = ()) -> World:
    """The design patents: real CLIP embeddings that came with the data, captions, and the design class as label."""
    found = worlds("configs/embeddings.yaml", [f"data.path={folder}", *overrides], cache, strokes)
    return next(iter(found.values()))


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def publish(name: str, text: str, options: argparse.Namespace) -> None:
    """Print a table and write it where it belongs; one of tiny sizes never replaces a measured one."""
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()
    if not (options.quick and options.readme == tables.README):
        tables.write(name, text, options.readme)


def versions() -> dict[str, Any]:
    """Versions that the numbers hang on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn", "opencv-python-headless")}
