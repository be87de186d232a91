"""One table of all latents, that every list, filter, sort and map of them starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sae_core.activations.index import Activations
from sae_core.browse.classes import best_classes, spans
from sae_core.browse.marks import Marks
from sae_core.errors import InputError
from sae_core.evaluate.geometry.report import GeometryReport
from sae_core.evaluate.shift import DEAD, SHARED, domain_shift
from sae_core.interpret.records import Names

SORTS: dict[str, tuple[str, bool]] = {
    "likeness to the text": ("likeness", False),
    "summed activation": ("sum", False),
    "firing rate, highest first": ("rate", False),
    "firing rate, lowest first": ("rate", True),
    "largest activation": ("max", False),
    "name's score": ("score", False),
    "lift of its class": ("best_class_lift", False),
    "steering effect": ("steering_beyond", False),
    "name, A to Z": ("name", True),
    "latent number": ("latent", True),
}
"""Order -> the column it sorts by and whether ascending. `likeness` is there after a search."""


def latent_table(
    acts: Activations,
    names: Names | None = None,
    geometry: GeometryReport | None = None,
    marks: Marks | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    scan: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Every latent of a dictionary, one row each, in the order of their ids.

    Args:
        acts: the activation store.
        names: where the run has them; a latent that nobody asked to name has no status.
        geometry: where the run has verdicts.
        marks: bookmarks and notes; see also `with_marks`.
        classes: names of the classes by domain; given, each latent's own class is found in one pass over the store.
        scan: the table of a scan (`sc.Scan`), where the run has one.

    Returns: DataFrame latent, count, rate, max, mean, sum, `<domain>.count/.rate/.max`, group (see `latent_groups`), name (None
        where it has none); with names status, score, ci_low, ci_high; with geometry, for each domain judged, `<domain>.verdict`,
        `.measure` (the one it follows most), `.rho`; with classes best_class, best_domain, best_class_lift (see
        `best_classes`); bookmarked (bool), note.
    """
    found = acts.stats.copy()
    found["group"] = latent_groups(found, domain_sizes(acts))
    found["name"] = pd.Series(None, index=found.index, dtype=object)
    if names is not None:
        record = names.table.drop_duplicates("latent").set_index("latent").reindex(found["latent"]).reset_index(drop=True)
        found["name"] = record["label"].astype(object).where(record["status"] == "ok", None)
        found[["status", "score", "ci_low", "ci_high"]] = record[["status", "score", "ci_low", "ci_high"]]
    if geometry is not None:
        for domain in geometry.report["domains"]:
            own = geometry.latents[geometry.latents["domain"] == domain].set_index("latent").reindex(found["latent"])
            for column in ("verdict", "measure", "rho"):
                found[f"{domain}.{column}"] = own[column].to_numpy()
    if classes is not None:
        own = best_classes(acts, classes)
        found[["best_class", "best_domain", "best_class_lift"]] = own[["best_class", "best_domain", "best_class_lift"]]
    if scan is not None:
        rated = scan.drop_duplicates("latent").set_index("latent").reindex(found["latent"]).reset_index(drop=True)
        found["steering"] = rated["verdict"]
        for column in ("effect", "beyond", "spearman", "label", "specificity", "collateral"):
            found[f"steering_{column}"] = rated[column]
    return with_marks(found, Marks() if marks is None else marks)


def with_marks(table: pd.DataFrame, marks: Marks) -> pd.DataFrame:
    """The table with the columns bookmarked (bool) and note (empty where there is none) of these marks."""
    latents = table["latent"].tolist()
    notes = pd.Series([marks.note(latent) for latent in latents], index=table.index, dtype=object)
    return table.assign(bookmarked=np.array([latent in marks.bookmarked for latent in latents], dtype=bool), note=notes)


def domain_sizes(acts: Activations) -> dict[str, int]:
    """Rows of each domain, in the order of the activations."""
    return {domain: stop - start for domain, start, stop in spans(acts)}


def latent_groups(stats: pd.DataFrame, n: Mapping[str, int]) -> list[str]:
    """Whose each latent is: `<d> only` where it is d's own against every other domain, `dead`, else `shared`.

    Args:
        stats: columns `latent`, `count` and `<domain>.count`.
        n: rows of each domain (one without rows is no domain to compare with); `domain_shift` says when a latent is one's own.
    """
    found = np.where(stats["count"] == 0, DEAD, SHARED).astype(object)
    held = [domain for domain, rows in n.items() if rows]
    for domain in held:
        tabs = [domain_shift(stats, n, domain, other)["tab"] for other in held if other != domain]
        if tabs:
            found[np.logical_and.reduce([tab == f"{domain} only" for tab in tabs])] = f"{domain} only"
    return [str(one) for one in found]


def sorted_latents(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The table in one of the orders SORTS, latents without a value last, equal ones by their id.

    Raises: InputError for an order that is none of SORTS, or whose column the table does not have.
    """
    possible = [name for name, (column, _) in SORTS.items() if column in table]
    if by not in possible:
        raise InputError(f"latents cannot be sorted by {by[:40]!r}; choose among {', '.join(possible)}")
    column, ascending = SORTS[by]
    columns, ways = ([column, "latent"], [ascending, True]) if column != "latent" else (["latent"], [ascending])
    return table.sort_values(columns, ascending=ways, na_position="last")
