"""Which latents a list shows: one filter that the gallery, a link and a notebook can hold."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from sae_core.config import Model
from sae_core.errors import InputError
from sae_core.evaluate.shift import DEAD

ALIVE = "alive"
Share = Annotated[float, Field(ge=0, le=1)]


class LatentFilter(Model):
    """A choice of latents; a field that is left alone lets every latent pass, and a latent must pass all of them.

    Attributes:
        group: `shared`, `<domain> only`, `dead`, or `alive` for all but the dead.
        rate: lowest and highest share of all rows it fires on, both included.
        status: of its name, any of these.
        verdict: geometric, semantic, both, neither or untested, any of these on any domain.
        class_name: the class whose own it is.
        text: in its name or note, whatever the case.
        score: lowest and highest score of its name, both included; latents without a score do not pass.
        bookmarked: only these.
        ids: only these latents, such as what a lasso caught.
    """

    group: str | None = None
    rate: tuple[Share, Share] = (0.0, 1.0)
    status: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    class_name: str | None = None
    text: str = ""
    score: tuple[Share, Share] | None = None
    bookmarked: bool = False
    ids: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> LatentFilter:
        for name in ("rate", "score"):
            held = getattr(self, name)
            if held is not None and held[0] > held[1]:
                raise ValueError(f"{name}: the lowest, {held[0]:g}, is above the highest, {held[1]:g}; exchange them")
        return self

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a `latent_table` that pass, in the table's order.

        Raises: InputError when it asks for what the table does not have: names, verdicts or classes.
        """
        keep = table["rate"].between(*self.rate).to_numpy()
        if self.group is not None:
            keep = keep & (table["group"] != DEAD if self.group == ALIVE else table["group"] == self.group).to_numpy()
        if self.status:
            keep = keep & _column(table, "status", "names").isin(self.status).to_numpy()
        if self.score is not None:
            keep = keep & _column(table, "score", "names").between(*self.score).to_numpy()
        if self.verdict:
            judged = [str(column) for column in table if str(column).endswith(".verdict")]
            found = [_column(table, column, "verdicts").isin(self.verdict).to_numpy() for column in judged or ["verdict"]]
            keep = keep & np.logical_or.reduce(found)
        if self.class_name is not None:
            keep = keep & (_column(table, "best_class", "classes") == self.class_name).to_numpy(dtype=bool)
        if self.text.strip():
            wanted = self.text.strip().casefold()
            keep = keep & np.array(
                [wanted in f"{_text(a)}\n{_text(b)}".casefold() for a, b in zip(table["name"], table["note"], strict=True)],
                dtype=bool,
            )
        if self.bookmarked:
            keep = keep & table["bookmarked"].to_numpy()
        if self.ids is not None:
            keep = keep & table["latent"].isin(self.ids).to_numpy()
        return table[keep]

    def describe(self) -> str:
        """What passes, in words: `shared, fires on 0.1 % to 10 % of all images, bookmarked`; `every latent` for no filter."""
        low, high = (f"{100 * share:g} %" for share in self.rate)
        said = [
            self.group,
            None if self.rate == (0.0, 1.0) else f"fires on {low} to {high} of all images",
            f"name {' or '.join(self.status)}" if self.status else None,
            " or ".join(self.verdict) if self.verdict else None,
            f"of class {self.class_name}" if self.class_name is not None else None,
            f"name or note contains “{self.text.strip()}”" if self.text.strip() else None,
            f"name's score {self.score[0]:.2f} to {self.score[1]:.2f}" if self.score is not None else None,
            "bookmarked" if self.bookmarked else None,
            f"among {len(set(self.ids)):,} chosen" if self.ids is not None else None,
        ]
        return ", ".join(one for one in said if one) or "every latent"


def _column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    if name not in table:
        raise InputError(f"these latents have no {what}, so they cannot be filtered by them; clear that filter")
    return table[name]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
