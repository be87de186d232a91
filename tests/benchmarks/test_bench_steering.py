"""The steering benchmark's own arithmetic, and its place among the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import steering, tables
from sae_core.evaluate.metrics import unit
from sae_core.steer.rating import Start


def test_a_latent_along_its_text_raises_its_own_label_and_one_against_it_lowers_it() -> None:
    rng = np.random.default_rng(0)
    texts = unit(rng.standard_normal((4, 16))).astype(np.float32)
    x = (3 * rng.standard_normal((30, 16))).astype(np.float32)
    directions = np.concatenate([texts, -texts])
    sae = steering.dictionary(directions, x, "e/t")
    np.testing.assert_allclose(sae.decoder_raw.numpy(), directions, atol=1e-6)
    names = ["a", "b", "c", "d"]
    starts = [Start(row, tuple(names), texts, 10.0) for row in x[:5]]
    rho = steering.own_label(np.arange(8), names * 2, 6.0, starts, sae)
    assert min(rho[:4]) == 1.0
    assert max(rho[4:]) == -1.0


def test_cells_are_shares_and_medians() -> None:
    rated = pd.DataFrame(
        {"verdict": ["steerable", "steerable", "weak", "weak", "weak"], "effect": [1, 2, 3, 4, 5.0], "random_high": 0.5}
    )
    assert steering._cells(rated) == ["5", "40 %", "60 %", "0 %", "3.000", "0.500"]


def test_the_readme_has_a_place_for_the_table() -> None:
    text = tables.README.read_text(encoding="utf-8")
    assert text.count("<!-- begin steering -->") == text.count("<!-- end steering -->") == 1


@pytest.mark.alone
def test_seconds_are_of_some_latents_and_extrapolated() -> None:
    m, d, labels, *times = steering.seconds(512, 16, 5)
    assert (m, d, labels) == ("512", "16", "5")
    assert abs(float(times[2]) - 2 * (float(times[0]) + float(times[1]))) < 0.8
