"""Latents as the site's scripts read them: one table of all, and a card each in files of 64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sae_core.browse.card import Card
from sae_core.browse.table import domain_sizes
from sae_core.evaluate.shift import domain_shift
from sae_core.interpret.records import clean
from sae_core.publish.site.material import Shown
from sae_core.publish.site.pictures import Pictures

SHARD = 64
"""Cards a file."""
CLASSES = 8
"""Class scores shown of each domain, most significant first."""
MEASURES = 6
SILENT = 4
DIGITS = 4
"""Significant digits of a number."""
TEXT = 300

TOLD = {
    "clip": ("near_miss_auroc", "p", "swap_gap", "retrieval", "positives", "negatives"),
    "vision": ("explanation", "counterevidence", "confidence", "model_served"),
}
"""What a card tells of a name beside label, status, score and reason, by the method that gave it."""


def columns(shown: Shown, montages: set[int]) -> dict[str, list[Any]]:
    """The table of all latents by column, in the order of their ids.

    Args:
        montages: latents with a picture in the gallery.

    Returns: group (number into `about.groups`), count, rate, max, and `d<nth>.rate` of each domain; where there are: name,
        candidate, status, score, ci_low, ci_high, class, class_lift, `d<nth>.verdict/.measure/.rho/.geometric/.semantic`,
        steering, steering_beyond, x, y (its place on the map of directions); picture (whether there is a montage).
    """
    table, domains = shown.table, list(shown.acts.domains)
    found: dict[str, Any] = {name: table[name] for name in ("group", "count", "rate", "max", "mean", "sum")}
    found |= {f"d{nth}.rate": table[f"{domain}.rate"] for nth, domain in enumerate(domains)}
    if shown.names is not None:
        record = shown.names.table.drop_duplicates("latent").set_index("latent").reindex(table["latent"])
        found |= {name: table[name] for name in ("name", "status", "score", "ci_low", "ci_high")}
        found["candidate"] = record["candidate"].reset_index(drop=True)
    if table["best_class"].notna().any():
        found |= {"class": table["best_class"], "class_lift": table["best_class_lift"]}
    if shown.geometry is not None:
        found |= _judged(shown, domains)
    if "steering" in table:
        found |= {name: table[name] for name in ("steering", "steering_beyond")}
    if shown.directions is not None:
        places = shown.directions.table.set_index("latent").reindex(table["latent"]).reset_index(drop=True)
        found |= {"x": places["x"], "y": places["y"]}
    # Sums are what the list is sorted by at first, so they keep the digits that order them.
    plain = {name: [value(one, 9 if name == "sum" else DIGITS) for one in column.tolist()] for name, column in found.items()}
    plain["picture"] = [int(latent in montages) for latent in table["latent"].tolist()]
    return plain


def _judged(shown: Shown, domains: list[str]) -> dict[str, Any]:
    assert shown.geometry is not None
    out: dict[str, Any] = {}
    latents = shown.geometry.latents
    names = {"verdict": "verdict", "measure": "measure", "rho": "rho"}
    names |= {"geometric": "geometric_effect", "semantic": "semantic_effect"}
    for nth, domain in enumerate(domains):
        own = latents[latents["domain"] == domain]
        if len(own):
            own = own.set_index("latent").reindex(shown.table["latent"]).reset_index(drop=True)
            out |= {f"d{nth}.{short}": own[column] for short, column in names.items()}
    return out


def shifts(shown: Shown) -> list[dict[str, Any]]:
    """For each pair of domains with rows: `a`, `b` (numbers of the domains) and by latent the log2 ratio with its interval."""
    acts, out = shown.acts, []
    sizes = domain_sizes(acts)
    held = [nth for nth, domain in enumerate(acts.domains) if sizes[domain]]
    for place, a in enumerate(held):
        for b in held[place + 1 :]:
            table = domain_shift(acts.stats, sizes, acts.domains[a], acts.domains[b])
            ratios = {name: [value(one) for one in table[name].tolist()] for name in ("log2_ratio", "low", "high")}
            out.append({"a": a, "b": b, **ratios})
    return out


class Cards:
    """The cards of all latents, their pictures numbered so that those of one card lie together."""

    def __init__(self, shown: Shown, pictures: Pictures, tell: Callable[[int, int], None]) -> None:
        """Read every card. `tell(done, of)` hears of each."""
        self._shown, self._pictures = shown, pictures
        self._domain = {domain: nth for nth, domain in enumerate(shown.acts.domains)}
        order = self._by_class()
        self._cards: dict[int, dict[str, Any]] = {}
        for done, latent in enumerate(order, 1):
            self._cards[latent] = self._plain(shown.card(latent))
            tell(done, len(order))
        # The strongest pictures first: those are the ones that the latents of a class have in common.
        for part in ("top", "bands", "silent"):
            for latent in order:
                self._numbered(self._cards[latent], part)

    def _by_class(self) -> list[int]:
        table = self._shown.table.assign(own=self._shown.table["best_class"].fillna(""))
        return [int(one) for one in table.sort_values(["own", "latent"], kind="stable")["latent"]]

    def shards(self) -> Iterator[tuple[int, dict[int, Any]]]:
        """Number and cards of every file."""
        for start in range(0, len(self._cards), SHARD):
            yield start // SHARD, {j: self._cards[j] for j in range(start, min(start + SHARD, len(self._cards)))}

    def _numbered(self, card: dict[str, Any], part: str) -> None:
        for group in card[part] if part != "silent" else [card[part]]:
            for entry in group:
                entry[0:2] = [entry[0], self._pictures.number(entry[0], entry[1])]

    def _plain(self, card: Card) -> dict[str, Any]:
        domains = list(self._domain)
        bands = [card.bands[card.bands["band"] == band] for band in range(5)]
        held = [card.histograms[domain] for domain in domains]
        return {
            "mean": value(card.stats["mean"]),
            "domains": [[value(card.stats[f"{d}.{one}"]) for one in ("count", "rate", "max")] for d in domains],
            "name": self._name(card.name),
            "verdicts": [[self._domain[line["domain"]], *_rest(line)] for line in card.verdicts.to_dict("records")],
            "measures": self._measures(card.measures),
            "top": [self._entries(card.top[domain], "value", "copies") for domain in domains],
            "bands": [self._entries(band, "value") for band in bands],
            "silent": self._entries(card.silent.head(SILENT)),
            "histogram": {"most": value(float(held[0][0][-1])), "counts": [counts.tolist() for _, counts in held]},
            "classes": self._classes(card.classes),
            "permutations": int(card.classes.attrs["permutations"]),
            "near": _rows(card.neighbours, "latent", "cosine"),
            "together": _rows(card.together, "latent", "both", "jaccard"),
        }

    def _entries(self, rows: pd.DataFrame, *more: str) -> list[list[Any]]:
        """Domain, image and more of each row; the image becomes the picture's number later."""
        return [
            [self._domain[str(line["domain"])], int(line["image"]), *(value(line[name]) for name in more)]
            for line in rows.to_dict("records")
        ]

    def _name(self, record: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if record is None:
            return None
        told = ("label", "status", "candidate", "reason", "score", "ci_low", "ci_high", *TOLD["clip"], *TOLD["vision"])
        found = {name: value(record.get(name)) for name in told}
        others = [one["word"] if isinstance(one, dict) else one for one in list(record.get("alternatives") or ())[:4]]
        found["others"] = [clean(str(one), TEXT) for one in others]
        return {name: one for name, one in found.items() if one is not None}

    def _measures(self, table: pd.DataFrame) -> list[list[Any]]:
        return [
            [self._domain[str(line["domain"])], str(line["measure"]), value(line["rho"]), value(line["p"])]
            for _, own in table.groupby("domain", sort=False)
            for line in own.head(MEASURES).to_dict("records")
        ]

    def _classes(self, table: pd.DataFrame) -> list[list[Any]]:
        names = ("n", "fires", "rate", "mean", "lift", "null_high", "p")
        return [
            [self._domain[str(line["domain"])], clean(str(line["class"]), TEXT), *(value(line[name]) for name in names)]
            for _, own in table.groupby("domain", sort=False)
            for line in own[own["fires"] > 0].head(CLASSES).to_dict("records")
        ]


def _rows(table: pd.DataFrame, *names: str) -> list[list[Any]]:
    return [[value(line[name]) for name in names] for line in table.to_dict("records")]


def _rest(line: Mapping[Any, Any]) -> list[Any]:
    return [value(one) for name, one in line.items() if name != "domain"]


def value(one: Any, digits: int = DIGITS) -> Any:
    """A plain JSON value: numbers to so many significant digits, None where there is none, text without control characters."""
    if isinstance(one, np.generic):
        one = one.item()
    if one is None or one is pd.NA:
        return None
    if isinstance(one, float):
        if not math.isfinite(one):
            return None
        short = float(f"{one:.{digits}g}")
        return int(short) if short == int(short) and abs(short) < 1e6 else short
    return clean(one, TEXT) if isinstance(one, str) else one
