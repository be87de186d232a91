"""What a scan says of a latent stands in its row of the table, and latents can be sorted by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sae_core.activations.index import Activations
from sae_core.browse.table import latent_table, sorted_latents
from sae_core.errors import InputError


def test_a_scan_is_joined_by_latent_and_sorted_by_the_effect_beyond_random(stored: Callable[..., Activations]) -> None:
    acts = stored(np.eye(6), np.zeros(6, dtype=np.int64))
    scan = pd.DataFrame(
        {
            "latent": [4, 1, 3],
            "verdict": ["steerable", "weak", "no effect beyond random"],
            "effect": [0.5, 0.6, 0.1],
            "random_high": [0.1, 0.55, 0.3],
            "beyond": [0.4, 0.05, -0.2],
            "spearman": [1.0, 0.7, 0.9],
            "label": ["moon", "cup", "moon"],
            "specificity": [0.2, 0.1, 0.3],
            "collateral": [3.0, 9.0, 0.0],
        }
    )
    table = latent_table(acts, scan=scan)
    assert table["latent"].tolist() == list(range(6))
    assert table["steering"].dropna().to_dict() == {1: "weak", 3: "no effect beyond random", 4: "steerable"}
    for column in ("effect", "beyond", "spearman", "label", "specificity", "collateral"):
        assert table[f"steering_{column}"].dropna().to_dict() == dict(zip(scan["latent"], scan[column], strict=True))
    assert sorted_latents(table, "steering effect")["latent"].tolist() == [4, 1, 3, 0, 2, 5]
    with pytest.raises(InputError, match="cannot be sorted by 'steering effect'"):
        sorted_latents(latent_table(acts), "steering effect")
