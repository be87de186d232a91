"""A drawn world with planted latents, and vision models that know its truth, lie, or guess.

A planted latent fires exactly on the drawings that hold a primitive, the more the more of it; a shuffled one fires as often,
on drawings drawn by lot. A scripted model gets real PNGs and knows each by the hash of its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sae_core.activations.index import Activations
from sae_core.activations.writer import Rows, Writer
from sae_core.config import RunConfig, validate
from sae_core.data import manifest
from sae_core.data.manifest import Manifest
from sae_core.interpret.evidence import Evidence, explain_half
from sae_core.interpret.vision.pictures import prepared
from sae_core.interpret.vision.shown import Shown

LEAST = {"curves": 2, "corners": 4, "junctions": 3, "loops": 2, "hatching": 1, "dots": 1}
"""How many of a primitive a drawing must hold for its latent to fire."""


@dataclass(frozen=True)
class Planted:
    """Latents 0 to p - 1 are planted (see `names`), p to 2p - 1 the same ones shuffled, 2p never fires, 2p + 1 fires 25 times."""

    manifest: Manifest
    evidence: Evidence
    shown: Shown
    present: pd.DataFrame
    """bool [n, p]: which primitives each drawing holds."""

    @property
    def names(self) -> list[str]:
        return list(LEAST)


def plant(folder: Path, n: int = 500, seed: int = 5) -> Planted:
    """Draw n sketches and write the codes of the latents."""
    source = validate(RunConfig, {"data": {"source": "drawn", "rendering": "sketch", "n": n, "seed": seed}}, "test").data[
        "sketch"
    ]
    for part in ("manifest", "codes"):
        (folder / part).mkdir(parents=True)
    drawings = manifest.run(source, None, folder / "manifest")
    assert drawings.truth is not None
    counts = drawings.truth[list(LEAST)].to_numpy(np.float32)
    z = np.where(counts >= np.array(list(LEAST.values())), counts, np.float32(0))
    rng = np.random.default_rng(seed)
    rare = np.zeros((n, 2), dtype=np.float32)
    rare[rng.choice(n, 25, replace=False), 1] = 1
    codes = np.concatenate([z, rng.permuted(z, axis=0), rare], axis=1)
    writer = Writer(folder / "codes", codes.shape[1])
    writer.append(np.tile(np.arange(codes.shape[1]), (n, 1)), codes)
    rows = np.arange(n, dtype=np.int64)
    writer.finish([Rows("sketch", rows, np.full(n, "train"), drawings.labels, drawings.groups)], {})
    activations = Activations.load(folder / "codes")
    x = (np.log1p(counts) + 0.1 * rng.standard_normal(counts.shape)).astype(np.float32)
    evidence = Evidence(activations, x, explain_half(activations.images, {"sketch": drawings}, seed))
    shown = Shown(activations.images, {"sketch": drawings})
    return Planted(drawings, evidence, shown, pd.DataFrame(z > 0, columns=list(LEAST)))


class Seer:
    """Knows what every drawing holds: names the primitive that tells firing from silent best, and finds it in any drawing."""

    def __init__(self, manifest: Manifest, present: pd.DataFrame) -> None:
        self.present = present.to_numpy()
        self.names = list(present.columns)
        pngs = [prepared(manifest.image(row)) for row in range(manifest.n)]
        self.rows = {hashlib.sha256(png).hexdigest(): row for row, png in enumerate(pngs)}

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        content = body["messages"][1]["content"]
        texts = [part["text"] for part in content if part["type"] == "text"]
        rows = [self.rows[_sha256(part["image_url"]["url"])] for part in content if part["type"] == "image_url"]
        name = body["response_format"]["json_schema"]["name"]
        return {"explanation": self.explain, "detection": self.detect, "intruder": self.intrude}[name](texts, rows)

    def explain(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        fires = np.array([("fires" in text) for text in texts[1:]])
        holds = self.present[rows]
        gap = holds[fires].mean(axis=0) - holds[~fires].mean(axis=0)
        best = int(gap.argmax())
        return verdict(self.names[best], confidence=int(100 * max(0.0, gap[best])))

    def detect(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        primitive = self.names.index(re.findall('"(.+)"', texts[0])[0])
        held = [bool(self.present[row, primitive]) for row in rows]
        return detected(held, [95 if one else 5 for one in held])

    def intrude(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        # The one drawing that lacks a primitive which all others hold.
        lonely = [i for i in range(len(rows)) if (self.present[np.delete(rows, i)].all(axis=0) & ~self.present[rows[i]]).any()]
        return {"intruder": (lonely[0] if lonely else 0) + 1, "confidence": 90}


class Liar(Seer):
    """Always says yes."""

    def detect(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        return detected([True] * len(rows), [100] * len(rows))


class Guesser(Seer):
    """Answers at random; the pictures and the seed decide, so that the same question gets the same answer."""

    def detect(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        rng = np.random.default_rng(rows)
        sure: NDArray[np.int64] = rng.integers(0, 101, len(rows))
        return detected((sure >= 50).tolist(), sure.tolist())

    def intrude(self, texts: list[str], rows: list[int]) -> dict[str, Any]:
        return {"intruder": int(np.random.default_rng(rows).integers(1, len(rows) + 1)), "confidence": 50}


def verdict(label: str, **changes: Any) -> dict[str, Any]:
    """A reply to the question for a name."""
    return {
        "interpretable": True,
        "polysemantic": False,
        "label": label,
        "explanation": f"the firing pictures hold {label}",
        "counterevidence": "",
        "confidence": 90,
        **changes,
    }


def detected(fits: list[bool], confidence: list[int]) -> dict[str, Any]:
    """A reply to the question whether a description fits."""
    answers = [
        {"image": i, "fits": one, "confidence": sure} for i, (one, sure) in enumerate(zip(fits, confidence, strict=True), 1)
    ]
    return {"answers": answers}


def _sha256(url: str) -> str:
    return hashlib.sha256(base64.b64decode(url.partition("base64,")[2])).hexdigest()
