"""Whether drawings of strokes can be read back: `python -m benchmarks.strokes_decoder`.

Held-out sketches of the drawn world are embedded by the bundled CLIP, drawn by the bundled stroke decoder and read by the CLIP:
the class, zero-shot, of unsteered drawings; and for latents that the demo run's scan calls steerable, whether the latent's own
pre-activation, encoded from the drawing, follows the strength it is clamped to. A random direction of the same length, at every
strength, is read back by the same latent.
"""

from __future__ import annotations

import sys

import numpy as np

import sae_core
from benchmarks import tables
from benchmarks.workers import ROOT
from benchmarks.worlds import parser, publish, versions
from sae_core.activations.index import Activations
from sae_core.clip.embed import Embeddings
from sae_core.data.manifest import Manifest
from sae_core.progress import Lines
from sae_core.steer.strokes.decoder import load_stroke_decoder
from sae_core.steer.train_strokes.gate import (
    MILLISECONDS,
    RANDOM,
    SHARE_OF_REAL,
    STEERS,
    STRENGTHS,
    ClassesRead,
    SweepsRead,
    read_classes,
    read_sweeps,
)

CONFIG, DOMAIN = "configs/demo.yaml", "sketch"
DRAWINGS, LATENTS, PICTURES = 540, 40, 4


def main() -> None:
    """Measure both, write the table."""
    options = parser("strokes_decoder", __doc__).parse_args()
    drawings, latents, pictures = (12, 2, 1) if options.quick else (DRAWINGS, LATENTS, PICTURES)
    decoder = load_stroke_decoder()
    classes = read_classes(decoder, drawings, report=Lines())
    store = sae_core.Store(options.cache)
    keys = dict(sae_core.run(str(ROOT / CONFIG), cache=options.cache, stage="scan").keys)
    acts = Activations.load(store.open(keys["collect"]).path)
    sae = sae_core.load_sae(str(store.open(keys["train"]).path))
    table = sae_core.Scan.load(store.open(keys["scan"]).path).table
    rng = np.random.default_rng(0)
    steerable = table.loc[table["verdict"] == "steerable", "latent"].to_numpy(np.int64)
    chosen = np.sort(rng.permutation(steerable)[:latents])
    held_out = (Manifest.load(store.open(keys[f"manifest:{DOMAIN}"]).path).table["split"] == "test").to_numpy().nonzero()[0]
    embeddings = Embeddings.load(store.open(keys[f"embed:{DOMAIN}"]).path)
    x = np.asarray(embeddings.array())[rng.permutation(held_out)[:pictures]]
    found = sae_core.train_maxima(acts, chosen.tolist())
    maxima = np.array([found[int(latent)] for latent in chosen])
    sweeps = read_sweeps(decoder, sae, maxima, chosen, x, report=Lines())
    publish("strokes", report(classes, sweeps, len(steerable), pictures), options)


def report(classes: ClassesRead, sweeps: SweepsRead, steerable: int, pictures: int) -> str:
    """The table and what it means."""
    read = (sweeps.own, sweeps.random, sweeps.asked, sweeps.selected)
    own, random, asked, selected = (float(np.median(values)) for values in read)
    rows = [
        ["class of the real drawing", f"{classes.real:.3f}", ""],
        ["class of the generated drawing", f"{classes.drawn:.3f}", f">= {SHARE_OF_REAL * classes.real:.3f}"],
        ["the same, before its points are moved", f"{classes.chosen:.3f}", ""],
        ["cosine to the embedding asked for", f"{classes.cosine:.3f}", ""],
        ["Spearman, latent's own direction", f"{own:.2f}", f">= {STEERS}"],
        ["Spearman, random direction", f"{random:.2f}", f"<= {RANDOM}"],
        ["Spearman, steered embedding itself, not drawn", f"{asked:.2f}", ""],
        ["Spearman, own direction, by the activation after TopK", f"{selected:.2f}", ""],
        ["milliseconds a drawing, median", f"{classes.milliseconds:.0f}", f"<= {MILLISECONDS:.0f}"],
    ]
    quarters = np.percentile(sweeps.own, [25, 75])
    notes = [
        f"Classes: {classes.n} held-out sketches, zero-shot. Least often read back: "
        f"{', '.join(f'{name} {share:.2f}' for name, share in classes.worst)}.",
        f"Spearman: {len(sweeps.latents)} of the demo run's {steerable} steerable latents in {pictures} held-out sketches, "
        f"clamped to {', '.join(f'{s:g}' for s in STRENGTHS)} times their maximum; "
        f"the median over the pictures, then over the latents "
        f"(middle half {quarters[0]:.2f} to {quarters[1]:.2f}; {float((sweeps.own >= STEERS).mean()):.0%} reach {STEERS}).",
    ]
    body = tables.table(["read back from drawings", "measured", "bar"], rows)
    return f"{body}\n\n{tables.foot(versions(), notes, 'benchmarks.strokes_decoder')}"


if __name__ == "__main__":
    sys.exit(main())
