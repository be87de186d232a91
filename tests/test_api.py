"""The public API as a notebook uses it, on a run that needs no CLIP."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sae_core as sc

ROOT = Path(__file__).parents[1]
SMALL = ["data.encoder=test", "sae.width=32", "sae.architecture.k=4", "sae.batch_size=64", "sae.steps=60"]
SMALL += ["evaluate.bootstrap=100", "interpret.random_directions=50", "visualize.latents.strongest=2"]


@pytest.fixture
def run(captioned_arrays: Callable[..., Path], tmp_path: Path) -> sc.pipeline.Run:
    overrides = [f"data.path={captioned_arrays()}", *SMALL]
    return sc.run(ROOT / "configs" / "embeddings.yaml", cache=tmp_path / "cache", overrides=overrides)


def test_everything_a_notebook_needs(run: sc.pipeline.Run, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert {"r2", "l0", "cosine", "dead_fraction", "sketch.n"} <= set(run.metrics)
    x = sc.load_embeddings(run.keys["embed:sketch"], cache).array()
    sae = sc.load_sae(run.outcomes["train"].path)
    z = sae.encode(x)
    assert z.shape == (240, 32)
    assert ((z > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(sae.decode(z), sae(x), rtol=1e-5, atol=1e-5)
    indices, values = sae.encode_sparse(x)
    dense = np.zeros_like(z)
    np.put_along_axis(dense, indices, values, axis=1)
    np.testing.assert_allclose(dense, z, rtol=1e-5, atol=1e-6)

    acts = sc.load_activations(run.keys["collect"], cache)
    latent = int(acts.strongest(1)[0])
    top = acts.top(latent, 5)
    assert list(top["value"]) == sorted(top["value"], reverse=True)
    counts = acts.histogram(latent)[1]
    assert counts.sum() == (z[:, latent] > 0).sum()
    assert len(acts.coactivation(latent, 3)) <= 3

    recipe = sc.Recipe(edits=[sc.Edit(latent=latent, op="ablate")])
    steered = sc.steer(x, recipe, sae)
    silent = z[:, latent] == 0
    np.testing.assert_array_equal(steered[silent], x[silent])
    assert not np.array_equal(steered[~silent], x[~silent])
    assert sc.load_names(run.keys["interpret"], cache).table.shape[0] == 32


def test_steer_is_callable_whichever_name_came_first() -> None:
    import sae_core.steer.stage

    assert callable(sae_core.steer)
    assert callable(sc.steer)


def test_a_dictionary_from_arrays_alone() -> None:
    x = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    sae = sc.train_sae(x, architecture="topk", k=4, width=24, seed=0, steps=50)
    again = sc.train_sae(x, architecture="topk", k=4, width=24, seed=0, steps=50)
    np.testing.assert_array_equal(sae(x), again(x))
