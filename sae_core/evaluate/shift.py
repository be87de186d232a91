"""Domain shift: how often each latent fires on one domain against another, and which latents are one domain's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from sae_core.errors import InputError

FACTOR = 10.0
SHARED, DEAD = "shared", "dead"


def domain_shift(stats: pd.DataFrame, n: Mapping[str, int], a: str, b: str, factor: float = FACTOR) -> pd.DataFrame:
    """Each latent's firing rates on two domains, their ratio with its 95 % interval, and which domain it belongs to.

    With c rows of n on which it fires, half a row is added to each side, so that a latent that never fires has a ratio too:

        log2_ratio = log2((c_a + ½) / (n_a + ½)) - log2((c_b + ½) / (n_b + ½))
        variance of its natural logarithm = 1 / (c_a + ½) - 1 / (n_a + ½) + 1 / (c_b + ½) - 1 / (n_b + ½)

    A latent is `<a> only` when the rate on a is more than `factor` times that on b beyond the interval (low > log2 factor), `<b>
    only` the other way, `dead` when it fires on neither, else `shared`: a rare latent that chance could explain is shared.

    Args:
        stats: columns `latent`, `<a>.count`, `<b>.count`, as `Activations.stats`.
        n: rows of each domain.
        a, b: two domains.
        factor: above 1.

    Returns: DataFrame latent, rate_a, rate_b (shares of the rows), log2_ratio, low, high (NaN for dead latents), tab.
    Raises: InputError on a domain that is not there, the same one twice, or a factor that is not above 1.
    Source: Pettigrew et al. 1986 (Biometrika 73), the log ratio of two binomial rates.
    """
    for domain in (a, b):
        if f"{domain}.count" not in stats or n.get(domain, 0) < 1:
            raise InputError(f"no domain {domain!r} with rows in these activations; there are {', '.join(n)}")
    if a == b:
        raise InputError(f"domain shift compares two domains, and both are {a!r}; choose another")
    if not factor > 1:
        raise InputError(f"factor {factor}: a latent is one domain's own from a factor above 1 on")
    counts = [stats[f"{domain}.count"].to_numpy(np.float64) for domain in (a, b)]
    (log_a, variance_a), (log_b, variance_b) = (_smoothed(c, n[d]) for c, d in zip(counts, (a, b), strict=True))
    dead = (counts[0] == 0) & (counts[1] == 0)
    ratio = np.where(dead, np.nan, log_a - log_b) / np.log(2)
    half = norm.ppf(0.975) * np.sqrt(variance_a + variance_b) / np.log(2)
    low, high, bar = ratio - half, ratio + half, np.log2(factor)
    return pd.DataFrame(
        {
            "latent": stats["latent"].to_numpy(np.int64),
            "rate_a": counts[0] / n[a],
            "rate_b": counts[1] / n[b],
            "log2_ratio": ratio,
            "low": low,
            "high": high,
            "tab": np.select([dead, low > bar, high < -bar], [DEAD, f"{a} only", f"{b} only"], SHARED),
        }
    )


def shift_counts(table: pd.DataFrame, a: str, b: str) -> dict[str, int]:
    """Latents in each tab of a table of `domain_shift`, in the order shared, a's own, b's own, dead."""
    found: dict[Any, int] = table["tab"].value_counts().to_dict()
    return {tab: int(found.get(tab, 0)) for tab in (SHARED, f"{a} only", f"{b} only", DEAD)}


def _smoothed(count: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Natural logarithm of a rate with half a row added, and its variance."""
    more = count + 0.5
    return np.log(more / (n + 0.5)), 1 / more - 1 / (n + 0.5)
