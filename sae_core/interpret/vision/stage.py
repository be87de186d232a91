"""The vision branch of the interpret stage: plan, ask, keep every record at once, test the names by CLIP too, write.

Finished records are lines of `records.jsonl` in the stage's partial folder, every reply is in the call cache; so whatever ends
the job, the same command goes on from there. A record that failed is tried again then.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.config import InterpretConfig, VisionConfig
from sae_core.errors import InputError, Unavailable
from sae_core.interpret.agreement import label_consistency
from sae_core.interpret.material import Material
from sae_core.interpret.records import FIELDS, VISION_FIELDS, Names, frame
from sae_core.interpret.score import CIRCULARITY
from sae_core.interpret.vision import prompts
from sae_core.interpret.vision.budget import Budget, Price
from sae_core.interpret.vision.calls import CallCache
from sae_core.interpret.vision.client import Client
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.job import Record, Stopped, run_vision
from sae_core.interpret.vision.kept import Kept
from sae_core.interpret.vision.messages import Failure
from sae_core.interpret.vision.plan import Plan, make_plan
from sae_core.interpret.vision.prices import price_of
from sae_core.interpret.vision.protocol import Interview
from sae_core.interpret.vision.scores import LEAST_BALANCED
from sae_core.interpret.vision.secrets import Secret
from sae_core.interpret.vision.sets import SetMaker
from sae_core.interpret.vision.shown import Shown
from sae_core.progress import Event, Report

RECORDS = "records.jsonl"
CALLS = Path(".calls") / "vision.sqlite"
"""Where replies are kept, in the cache folder."""
TOP_IMAGES = 8
REPORT_SECONDS = 1.0
AHEAD = 2
"""Latents that are prepared while others wait for a reply; `workers` bounds the questions under way."""


def chosen_model(config: VisionConfig) -> str:
    """The model's id. Raises InputError when none is chosen."""
    if config.model is None:
        raise InputError("interpret.vision.model: choose a vision model, such as one that GET /models of the endpoint lists")
    return config.model


def known_price(config: VisionConfig, endpoint: Endpoint, key: Secret | None) -> Price | None:
    """The model's price from the endpoint's own list; None when it is not known and the config allows that.

    Raises:
        Unavailable: the list cannot be had, or has no such model.
    """
    try:
        return price_of(chosen_model(config), endpoint, key)
    except Unavailable:
        if config.allow_unknown_price:
            return None
        raise


def plan_vision(config: InterpretConfig, material: Material, latents: NDArray[np.int64], key: Secret | None) -> Plan:
    """What naming these latents would ask and cost. Nobody is asked but GET /models for the price.

    Raises: InputError without a model or pictures; Unavailable when the price cannot be had.
    """
    endpoint = Endpoint.parse(config.vision.endpoint)
    return _plan(config, material, latents, endpoint, known_price(config.vision, endpoint, key))


def _plan(
    config: InterpretConfig, material: Material, latents: NDArray[np.int64], endpoint: Endpoint, price: Price | None
) -> Plan:
    shown = Shown(material.activations.images, material.manifests)
    maker = SetMaker(material.evidence, shown.rows, config.vision, config.seed)
    asking = Interview(_Nobody(), maker, lambda row: b"", config.vision, config.seed)
    alive = np.intersect1d(latents, material.activations.alive())
    sets = [maker.sets(int(latent)) for latent in alive]
    return make_plan(sets, asking, shown, endpoint, chosen_model(config.vision), price, config.vision.cap)


class _Nobody:
    def ask(self, request: object) -> Failure:
        raise AssertionError("a plan asks nobody")


def name_with_vision(
    config: InterpretConfig, material: Material, latents: NDArray[np.int64], out_dir: Path, report: Report, key: Secret | None
) -> Names:
    """Name latents with the configured model, and write names.json and sae_latents.csv.

    Args:
        config: method vision.
        material: the stage's parents.
        latents: ids, in the order in which they are asked about.
        out_dir: the stage's partial folder; its grandparent is the cache folder.
        report: receives the plan, then progress with what is spent; may raise Cancelled.
        key: the API key; None for a local server that asks for none.

    Raises:
        InputError: no model or key, no pictures, the cap is reached.
        Unavailable: the endpoint cannot be reached, or refuses for good.
        Cancelled: from `report`. In each case what is finished is kept.
    """
    endpoint, model = Endpoint.parse(config.vision.endpoint), chosen_model(config.vision)
    price = known_price(config.vision, endpoint, key)
    plan = _plan(config, material, latents, endpoint, price)
    metrics = {"requests": float(plan.requests), "images": float(plan.distinct)}
    if plan.cost is not None:
        metrics |= {"cost_low": plan.cost[0], "cost_high": plan.cost[1]}
    total = len(latents)
    report(Event("interpret", 0, total, metrics, " ".join(plan.lines())))
    kept = Kept.open(out_dir / RECORDS)
    budget = Budget(config.vision.cap, price, allow_unknown=config.vision.allow_unknown_price, spent=kept.spent)
    over = threading.Event()
    with CallCache(out_dir.parent.parent / CALLS) as calls:

        def pause(seconds: float) -> None:
            if over.wait(seconds):
                raise Stopped

        client = Client(endpoint, model, key, calls, budget, sleep=pause)
        shown = Shown(material.activations.images, material.manifests)
        maker = SetMaker(material.evidence, shown.rows, config.vision, config.seed)
        slots = threading.Semaphore(config.vision.workers)
        asking = Interview(client, maker, shown.png, config.vision, config.seed, slots)
        alive = np.isin(latents, material.activations.alive())
        todo = [int(j) for j in latents[alive] if int(j) not in kept.finished]
        told = time.monotonic()

        def live() -> dict[str, float]:
            states = Counter(str(record["status"]) for record in kept.records.values())
            spending = {"spent": budget.spent, "reserved": budget.reserved}
            return {**spending, **{status: float(count) for status, count in states.items()}}

        def tick() -> None:
            nonlocal told
            if time.monotonic() - told >= REPORT_SECONDS:
                told = time.monotonic()
                report(Event("interpret", total - len(todo) + done, total, live()))

        done = 0

        def on_record(record: Record) -> None:
            nonlocal done
            done += 1
            kept.add(record, budget.spent)

        try:
            ended = run_vision(todo, asking.record, on_record, workers=config.vision.workers + AHEAD, tick=tick, over=over)
        finally:
            kept.note(budget.spent)
            client.close()
    if ended.failure is not None:
        raise _ended_early(ended.failure, total - len(todo) + done, total)
    report(Event("interpret", total, total, live()))
    names = _names(config, material, latents, kept, endpoint)
    names.save(out_dir)
    kept.path.unlink(missing_ok=True)
    return names


def _ended_early(failure: Failure, finished: int, total: int) -> InputError | Unavailable:
    where = f"{finished:,} of {total:,} latents are finished and kept"
    if failure.kind == "over_cap":
        return InputError(
            f"{failure.message}; {where}: raise --cap (interpret.vision.cap) and the same command goes on from there"
        )
    return Unavailable(f"{failure.message}; {where}: the same command goes on from there")


# ---------------------------------------------------------------- records in the end


def _names(config: InterpretConfig, material: Material, latents: NDArray[np.int64], kept: Kept, endpoint: Endpoint) -> Names:
    evidence = material.evidence
    labels = {j: str(record["candidate"]) for j, record in kept.records.items() if record["candidate"]}
    rng = np.random.default_rng([config.seed, 4])
    consistency, note = label_consistency(labels, evidence, material.embeddings, material.towers, config.templates, rng)
    records = [_record(int(j), kept.records.get(int(j)), consistency.get(int(j)), material) for j in latents]
    costs = [record["cost"] for record in records]
    about: dict[str, Any] = {
        "method": "vision",
        "endpoint": endpoint.host,
        "model": config.vision.model,
        "models_served": sorted({record["model_served"] for record in records if record["model_served"]}),
        "prompt_version": prompts.VERSION,
        "vision": _settings(config.vision),
        "cost": None if None in costs else sum(costs),
        "spent": kept.spent,
        "explain_images": int(evidence.explain.sum()),
        "score_images": len(evidence.score_rows),
        "seed": config.seed,
        "score": "detection: balanced accuracy of the model on held-out images when it reads the name; chance 0.5",
        "passes": f"a name is given when its balanced accuracy is at least {LEAST_BALANCED} and its interval is above 0.5",
        "clip_consistency": f"{CIRCULARITY} {note}".strip(),
        "circularity": (
            "The model that names the latents also tests the names. It reads them anew beside pictures it was not shown, "
            "which checks that a name is enough to find what fires the latent; it is no human judgement."
        ),
        "encoder": next(iter(material.embeddings.values())).encoder,
    }
    return Names(frame(records), about)


def _settings(config: VisionConfig) -> dict[str, Any]:
    """The settings that decide what was asked."""
    local = ("endpoint", "model", "cap", "allow_unknown_price", "workers")
    return {name: value for name, value in config.model_dump(mode="json").items() if name not in local}


def _record(latent: int, record: Record | None, consistency: dict[str, Any] | None, material: Material) -> Record:
    """A record with every field: what the protocol found, the counts of held-out images, the strongest images."""
    evidence = material.evidence
    positives = len(evidence.positives(latent))
    made: Record = dict.fromkeys((*FIELDS, *VISION_FIELDS))
    made |= {"latent": latent, "status": "dead", "reason": "fires on no image", "alternatives": [], "cost": 0.0}
    made |= {"tokens_in": 0, "tokens_out": 0, "calls": 0, "scores": {}, "shown": {}, "scored": {}}
    made |= record or {}
    scores = {"detection": None, "intruder": None, **made["scores"], "clip_consistency": consistency}
    tested = scores["detection"] or {}
    return {
        **made,
        "scores": scores,
        "score": tested.get("value"),
        "ci_low": tested.get("ci_low"),
        "ci_high": tested.get("ci_high"),
        "positives": positives,
        "negatives": len(evidence.score_rows) - positives,
        "top_images": material.files(evidence.strongest(latent, TOP_IMAGES).tolist()),
    }
