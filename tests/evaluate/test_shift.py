"""Domain shift: rates, ratios and intervals by hand; which latents are one domain's own."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.errors import InputError
from sae_core.evaluate.shift import domain_shift, shift_counts


def stats(a: list[int], b: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"latent": range(len(a)), "sketch.count": a, "photo.count": b})


def test_the_four_tabs_and_the_numbers_by_hand() -> None:
    found = domain_shift(stats([100, 400, 0, 0, 3], [100, 2, 300, 0, 0]), {"sketch": 1000, "photo": 500}, "sketch", "photo")
    assert found["tab"].tolist() == ["shared", "sketch only", "photo only", "dead", "shared"]  # 3 against 0 may be chance
    assert found["rate_a"].tolist() == [0.1, 0.4, 0.0, 0.0, 0.003]
    assert found["rate_b"].tolist() == [0.2, 0.004, 0.6, 0.0, 0.0]
    ratio = (400.5 / 1000.5) / (2.5 / 500.5)
    spread = np.sqrt(1 / 400.5 - 1 / 1000.5 + 1 / 2.5 - 1 / 500.5)
    assert found["log2_ratio"][1] == pytest.approx(np.log2(ratio))
    assert found["low"][1] == pytest.approx(np.log2(ratio * np.exp(-1.959964 * spread)))
    assert found["high"][1] == pytest.approx(np.log2(ratio * np.exp(1.959964 * spread)))
    assert found.loc[3, ["log2_ratio", "low", "high"]].isna().all()
    assert shift_counts(found, "sketch", "photo") == {"shared": 2, "sketch only": 1, "photo only": 1, "dead": 1}


def test_the_factor_must_be_passed_beyond_the_interval() -> None:
    n = {"sketch": 1000, "photo": 1000}
    found = domain_shift(stats([110, 300], [10, 10]), n, "sketch", "photo")  # 11 and 30 times as often
    assert found["tab"].tolist() == ["shared", "sketch only"]
    assert domain_shift(stats([110], [10]), n, "sketch", "photo", factor=2)["tab"].tolist() == ["sketch only"]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 90)), min_size=1, max_size=20))
def test_the_other_way_round_is_the_mirror_image(counts: list[tuple[int, int]]) -> None:
    table, n = stats([a for a, _ in counts], [b for _, b in counts]), {"sketch": 200, "photo": 90}
    there, back = domain_shift(table, n, "sketch", "photo"), domain_shift(table, n, "photo", "sketch")
    assert there["tab"].tolist() == back["tab"].tolist()
    np.testing.assert_allclose(there["log2_ratio"], -back["log2_ratio"])
    np.testing.assert_allclose(there["low"], -back["high"])


def test_the_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(0)
    found = domain_shift(
        stats(rng.binomial(2000, 0.05, 4000).tolist(), rng.binomial(1000, 0.02, 4000).tolist()),
        {"sketch": 2000, "photo": 1000},
        "sketch",
        "photo",
    )
    covered = ((found["low"] <= np.log2(2.5)) & (np.log2(2.5) <= found["high"])).mean()
    assert 0.94 <= covered <= 0.965


def test_what_cannot_be_compared_is_refused() -> None:
    n = {"sketch": 10, "photo": 10}
    with pytest.raises(InputError, match="no domain 'chalk'"):
        domain_shift(stats([1], [1]), n, "sketch", "chalk")
    with pytest.raises(InputError, match="both are 'photo'"):
        domain_shift(stats([1], [1]), n, "photo", "photo")
    with pytest.raises(InputError, match="factor 1"):
        domain_shift(stats([1], [1]), n, "sketch", "photo", factor=1)
