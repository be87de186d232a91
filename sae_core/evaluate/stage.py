"""Stage `evaluate`: on held-out images, what the dictionary keeps and what it costs CLIP, beside its controls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sae_core.activations.collect import check_fit
from sae_core.clip.embed import Embeddings
from sae_core.clip.encoder import resolve_device
from sae_core.clip.towers import Towers
from sae_core.config import EvaluateConfig, Runtime
from sae_core.data.manifest import Manifest
from sae_core.evaluate.controls import Control, fit_controls
from sae_core.evaluate.domains import Domain, Measuring, evaluate_domain
from sae_core.evaluate.evaluation import Evaluation
from sae_core.evaluate.report import assemble, flat, line
from sae_core.evaluate.rows import ROWS, SPLIT, DomainRows
from sae_core.evaluate.texts import Texts, find_texts, shared_classes
from sae_core.progress import Event, Report
from sae_core.sae.architectures import SAE
from sae_core.sae.batches import Pool
from sae_core.sae.quality import Quality
from sae_core.store import MANIFEST, Inputs

__all__ = ["VERSION", "Evaluation", "run"]

VERSION = 2


def run(config: EvaluateConfig, inputs: Inputs, out_dir: Path, report: Report, runtime: Runtime) -> Evaluation:
    """Evaluate the dictionary and its controls on the held-out split of every domain.

    Inputs: `sae`, and `manifest:<domain>`, `embed:<domain>` of every domain.
    Raises: InputError for templates without `{}`, class names that are not there, or embeddings that are not what the
        dictionary takes.
    """
    device = str(resolve_device(runtime.device))
    sae = SAE.load(inputs["sae"]).to(device)
    names = list(inputs.domains("embed"))
    trained_on = trained_domains(inputs["sae"], names)
    rows, texts = _read(config, inputs, sae, Towers(runtime.device))
    # A hundred parts for each domain, and as many for the controls.
    say = _Progress(report, 100 * (len(names) + 1))
    for name, one in texts.items():
        for note in one.notes:
            say(0, f"{name}: {note}")
    use = usage(sae, [rows[name].embeddings for name in trained_on])
    controls = _controls(sae, use, [rows[name] for name in trained_on], config.seed, device, say)
    shared = shared_classes(texts)
    pooled = Quality(sae.d, sae.m)
    domains: dict[str, Domain] = {}
    for done, name in enumerate(names, 1):
        # The domain's name seeds its bootstrap, so that its interval does not depend on which other domains there are.
        rng = np.random.default_rng([config.seed, *name.encode()])
        domains[name] = evaluate_domain(
            rows[name],
            texts[name],
            None if shared is None else shared.get(name),
            sae,
            controls,
            [pooled] if name in trained_on else [],
            Measuring(config.bootstrap, config.sparse_probes),
            rng,
            say.within(done),
        )
        say(100 * (done + 1), line(domains[name], name), flat(domains[name]))
    about = {
        "sae": inputs["sae"].name,
        "split": SPLIT,
        "pooled_over": trained_on,
        "dead_fraction_over": "every image of these domains, train and held-out",
        "bootstrap": config.bootstrap,
        "seed": config.seed,
    }
    metrics = {**pooled.metrics(), "dead_fraction": use.dead_fraction}
    found = assemble(domains, trained_on, metrics, _words(texts, shared), about)
    found.save(out_dir)
    return found


class _Progress:
    """Reports how far of `total` the stage is."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total = report, total

    def __call__(self, step: int, message: str = "", metrics: Mapping[str, float] = {}) -> None:
        self._report(Event("evaluate", step, self._total, metrics, message))

    def within(self, part: int) -> Callable[[int, int], None]:
        """Progress within the hundred parts from 100 x part on."""
        return lambda done, of: self(100 * part + 99 * done // max(of, 1))


def _read(config: EvaluateConfig, inputs: Inputs, sae: SAE, towers: Towers) -> tuple[dict[str, DomainRows], dict[str, Texts]]:
    rows, texts = {}, {}
    for name, folder in inputs.domains("embed").items():
        manifest, embeddings = Manifest.load(inputs[f"manifest:{name}"]), Embeddings.load(folder)
        check_fit(sae, embeddings, name)
        templates, renamed = config.templates.get(name, manifest.rendering), config.class_names.get(name, {})
        rows[name] = DomainRows.of(name, manifest, embeddings)
        texts[name] = find_texts(name, manifest, embeddings, templates, towers, renamed)
    return rows, texts


class Usage(NamedTuple):
    """How a dictionary is used: mean number of latents a row (L0), share of latents that fire on no row."""

    l0: float
    dead_fraction: float


def usage(sae: SAE, parts: Sequence[Embeddings]) -> Usage:
    """Over every row of the domains, train and held-out: the dead fraction is the number that training reports too."""
    fires, n = np.zeros(sae.m, dtype=np.int64), 0
    for embeddings in parts:
        for start in range(0, embeddings.n, ROWS):
            indices, values = sae.encode_sparse(embeddings.rows(np.arange(start, min(start + ROWS, embeddings.n))))
            fires += np.bincount(indices[values > 0], minlength=sae.m)
        n += embeddings.n
    return Usage(float(fires.sum()) / max(n, 1), float(np.mean(fires == 0)))


def _controls(sae: SAE, use: Usage, parts: Sequence[DomainRows], seed: int, device: str, say: _Progress) -> list[Control]:
    pool = Pool([(one.embeddings, one.train) for one in parts], sae.d)
    within = say.within(0)
    encoder = parts[0].embeddings.encoder
    return fit_controls(pool, use.l0, sae.m, encoder, seed, device, lambda event: within(event.step, event.total))


def _words(texts: Mapping[str, Texts], shared: Mapping[str, np.ndarray] | None) -> list[str] | None:
    """What prompts call the shared classes."""
    if shared is None:
        return None
    name, chosen = next(iter(shared.items()))
    classes = texts[name].classes
    assert classes is not None
    return [classes.words[number] for number in chosen]


def trained_domains(sae: Path, names: list[str]) -> list[str]:
    """The domains among `names` that a train artifact was made from, as its parents say; all for a dictionary from elsewhere."""
    file = sae / MANIFEST
    if not file.is_file():
        return names
    parents = json.loads(file.read_text(encoding="utf-8"))["parents"]
    return [name for name in names if f"embed:{name}" in parents]
