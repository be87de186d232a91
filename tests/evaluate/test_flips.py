"""What flips an image: planted decompositions, and the sum that must be exact."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.config import TopK
from sae_core.evaluate.flips import SHOWN, flipped
from sae_core.evaluate.zero_shot import ZeroShot, classify, compare
from sae_core.sae.architectures import SAE


def dictionary(W_enc: np.ndarray, W_dec: np.ndarray, b_dec: np.ndarray, k: int, scale: float = 1.0) -> SAE:
    weights = {"W_enc": W_enc, "b_enc": np.zeros(len(W_enc)), "W_dec": W_dec, "b_dec": b_dec}
    return SAE(TopK(k=k), {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}, scale=scale)


def compared(sae: SAE, x: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> ZeroShot:
    return compare(classify(x, weights), classify(sae(x), weights), labels, 100, np.random.default_rng(0))


def explain(sae: SAE, x: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    found = compared(sae, x, weights, labels)
    return flipped(sae, found, np.arange(100, 100 + len(x))[found.rows], weights, lambda places: x[found.rows][places])


def test_a_planted_flip_by_hand() -> None:
    # x = (2, 3) is class 1. The encoder makes latent 0 win with z = 4; x̂ = 4 (1, 0) + (0.5, 0.25) is class 0.
    sae = dictionary(np.diag([2.0, 1.0]), np.eye(2), np.array([0.5, 0.25]), k=1)
    x = np.array([[2, 3], [9, 1], [2, 3]], dtype=np.float32)
    weights = np.array([[7, 0], [0, 0.1]], dtype=np.float32)  # only directions count
    table = explain(sae, x, weights, np.array([1, 0, 0]))
    assert table["image"].tolist() == [100, 102]
    assert table["kind"].tolist() == ["lost", "gained"]
    line = table.iloc[0]
    assert (line["label"], line["pred_clip"], line["pred_sae"]) == (1, 1, 0)
    assert line["margin_clip"] == pytest.approx(2 - 3)  # w = (1, -1)
    assert line["margin_sae"] == pytest.approx(4.5 - 0.25)
    assert line["bias"] == pytest.approx(0.25)
    assert line["residual"] == pytest.approx((2 - 4.5) - (3 - 0.25))
    assert line["latents"] == [0]
    assert line["pushes"] == pytest.approx([4.0])


def test_wrong_both_times_is_a_change() -> None:
    sae = dictionary(np.diag([2.0, 1.0, 1.0]), np.eye(3), np.zeros(3), k=1)
    x = np.array([[2, 3, 0]], dtype=np.float32)
    assert explain(sae, x, np.eye(3, dtype=np.float32), np.array([2]))["kind"].tolist() == ["changed"]


def test_no_flip_leaves_an_empty_table() -> None:
    sae = dictionary(np.eye(2), np.eye(2), np.zeros(2), k=2)
    table = explain(sae, np.array([[1, 0]], dtype=np.float32), np.eye(2, dtype=np.float32), np.array([0]))
    assert len(table) == 0
    assert {"kind", "bias", "residual", "latents", "pushes", "margin_clip", "margin_sae"} <= set(table.columns)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 12), scale=st.sampled_from([0.1, 1.0, 7.0]))
def test_the_parts_sum_to_both_margins(seed: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    d, m = 8, 16
    sae = dictionary(rng.normal(size=(m, d)), rng.normal(size=(m, d)), rng.normal(size=d), k, scale)
    x = rng.normal(size=(60, d)).astype(np.float32)
    weights = rng.normal(size=(5, d)).astype(np.float32)
    table = explain(sae, x, weights, rng.integers(0, 5, 60))
    t = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    z, x_hat, raw = sae.encode(x), sae(x), sae.decoder_raw.numpy()
    for line in table.to_dict("records"):
        row, w = line["image"] - 100, t[line["pred_sae"]] - t[line["pred_clip"]]
        every = z[row] * (raw @ w)
        tolerance = float(1e-4 * (1 + np.abs(every).sum()))
        assert line["margin_clip"] == pytest.approx(w @ x[row], abs=tolerance)
        assert line["margin_sae"] == pytest.approx(w @ x_hat[row], abs=tolerance)
        assert line["bias"] + every.sum() == pytest.approx(line["margin_sae"], abs=tolerance)
        assert line["margin_sae"] + line["residual"] == pytest.approx(line["margin_clip"], abs=1e-12)
        assert line["margin_clip"] <= tolerance
        assert line["margin_sae"] >= -tolerance
        assert line["pushes"] == pytest.approx([every[j] for j in line["latents"]], abs=tolerance)
        strongest = np.sort(np.abs(every[z[row] > 0]))[::-1][:SHOWN]
        assert np.abs(line["pushes"]) == pytest.approx(strongest, abs=tolerance)
