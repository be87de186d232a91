"""What is asked of an endpoint outside of a job: its models, and the test of one label, with its price said first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np

from sae_core.config import InterpretConfig, VisionConfig
from sae_core.errors import InputError
from sae_core.interpret.material import Material
from sae_core.interpret.vision.budget import Budget, Price, Size, estimate
from sae_core.interpret.vision.calls import CallCache
from sae_core.interpret.vision.client import Client
from sae_core.interpret.vision.detect import detect_batches
from sae_core.interpret.vision.endpoint import Endpoint
from sae_core.interpret.vision.plan import Plan
from sae_core.interpret.vision.prices import VisionModel, models
from sae_core.interpret.vision.secrets import Secret
from sae_core.interpret.vision.sets import SetMaker
from sae_core.interpret.vision.shown import Shown
from sae_core.interpret.vision.stage import CALLS, chosen_model, known_price
from sae_core.store import Store


def vision_models(endpoint: Endpoint, key: Secret | None) -> list[VisionModel]:
    """The endpoint's own list of models that take pictures, with their prices, by name. Raises Unavailable."""
    return models(endpoint, key)


def plan_label(config: InterpretConfig, material: Material, latent: int, label: str, key: Secret | None) -> Plan:
    """What testing one label by detection would ask and cost. Nobody is asked but GET /models for the price.

    Raises: InputError where the latent has too few pictures to test a label on, or no model is chosen; Unavailable when the price
        cannot be had.
    """
    vision, endpoint = config.vision, Endpoint.parse(config.vision.endpoint)
    shown = Shown(material.activations.images, material.manifests)
    sets = SetMaker(material.evidence, shown.rows, vision, config.seed).sets(latent)
    if sets.lacking:
        raise InputError(f"latent {latent} {sets.lacking}")
    order = np.random.default_rng(0)  # sizes do not depend on the order
    batches = detect_batches(
        latent, label, sets.score, lambda row: b"", order, size=vision.detection_batch, max_tokens=vision.max_tokens
    )
    calls = Counter(Size.of(batch.request) for batch in batches)
    tokens_in, tokens_out = (estimate(calls, Price(*unit)) for unit in ((1.0, 0.0), (0.0, 1.0)))
    price = known_price(vision, endpoint, key)
    rows = np.unique([item.row for item in sets.score]).astype(np.int64)
    return Plan(
        host=endpoint.host,
        model=chosen_model(vision),
        loopback=endpoint.loopback,
        latents=1,
        lacking=0,
        requests=len(batches),
        pictures=sum(batch.request.images for batch in batches),
        distinct=len(rows),
        domains=shown.domains(rows),
        tokens_in=(round(tokens_in[0]), round(tokens_in[1])),
        tokens_out=(round(tokens_out[0]), round(tokens_out[1])),
        cost=None if price is None else Budget(vision.cap, price).estimate(calls),
        cap=vision.cap,
    )


@contextmanager
def vision_client(config: VisionConfig, store: Store, key: Secret | None) -> Iterator[Client]:
    """A client with its own budget (the config's cap) and the cache of replies that jobs of this store use; closed at the end.

    Raises: InputError without a model, or with a price that nobody knows and no permission for that; Unavailable.
    """
    endpoint = Endpoint.parse(config.endpoint)
    price = known_price(config, endpoint, key)
    budget = Budget(config.cap, price, allow_unknown=config.allow_unknown_price)
    with CallCache(store.root / CALLS) as calls, closing(Client(endpoint, chosen_model(config), key, calls, budget)) as client:
        yield client
