"""What the zero-shot page sets side by side: two domains of a run, one domain of several runs, or both.

The columns are the domains where two are chosen, else the runs; where both are chosen the runs share each column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import load, session
from pages._ui.text import plain

DOMAINS, RUNS = "zero-shot-domains", "zero-shot-runs"
MOST_RUNS = 4


@dataclass(frozen=True)
class Entry:
    """One domain of one run's evaluation; `label` is the run's name, unlike every other one chosen."""

    run: sc.pipeline.Recorded
    have: sc.pipeline.Run
    domain: str
    label: str

    @property
    def evaluation(self) -> Any:
        """The run's Evaluation."""
        return load.evaluation(self.have)

    @property
    def found(self) -> Mapping[str, Any]:
        """The domain's part of the report."""
        return self.evaluation.report["domains"][self.domain]  # type: ignore[no-any-return]

    @property
    def key(self) -> str:
        """Tells its widgets from those of every other entry."""
        return f"{self.run.id}-{self.domain}"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The lines of one of the evaluation's tables that are of this domain."""
        return table[table["domain"] == self.domain]


@dataclass(frozen=True)
class Side:
    """A column of the page: its title, and what stands in it."""

    title: str
    entries: tuple[Entry, ...]


def choose(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> list[Side]:
    """The controls, and what they choose: at least one side, each with at least one entry."""
    names = list(load.evaluation(have).report["domains"])
    left, right = st.columns(2, vertical_alignment="bottom")
    domains = _domains(left, names)
    others = _others(right, run, domains)
    runs = [(run, have), *((other, session.opened(other)) for other in others)]
    labels = unlike([one.name for one, _ in runs], [one.id for one, _ in runs])
    entries = [
        [Entry(one, made, domain, label) for (one, made), label in zip(runs, labels, strict=True) if _has(made, domain)]
        for domain in domains
    ]
    if len(entries) == 1:
        return [Side(one.label if len(entries[0]) > 1 else one.domain, (one,)) for one in entries[0]]
    return [Side(domain, tuple(column)) for domain, column in zip(domains, entries, strict=True)]


def _domains(place: Any, names: list[str]) -> list[str]:
    if len(names) == 1:
        place.markdown(f"Domain: **{plain(names[0])}**")
        return names
    if not set(st.session_state.get(DOMAINS, [])) <= set(names):
        del st.session_state[DOMAINS]  # another run, whose domains have other names
    chosen = place.multiselect(
        "Domains, side by side", names, default=names[:2], max_selections=2, key=DOMAINS, persist_state="session"
    )
    return [domain for domain in names if domain in chosen] or names[:2]


def _others(place: Any, run: sc.pipeline.Recorded, domains: list[str]) -> list[sc.pipeline.Recorded]:
    """Other runs that were evaluated on one of the domains, as the visitor chooses them."""
    store = session.store()
    known = {
        other.id: other
        for other in session.all_runs()
        if other.id != run.id and store.has(other.keys["evaluate"]) and set(domains) & set(other.config.data)
    }
    if not known:
        place.caption("A second run on one of these domains could be laid over this one.")
        return []
    if not set(st.session_state.get(RUNS, [])) <= set(known):
        del st.session_state[RUNS]
    chosen = place.multiselect(
        "Compare with other runs",
        list(known),
        format_func=lambda one: session.title(known[one]),
        max_selections=MOST_RUNS - 1,
        key=RUNS,
        persist_state="session",
        placeholder="none",
        help="Two to four dictionaries on the same figures; the run of the sidebar is the first.",
    )
    return [known[one] for one in chosen]


def _has(have: sc.pipeline.Run, domain: str) -> bool:
    return domain in load.evaluation(have).report["domains"]


def unlike(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Names, those that occur twice with the first digits of their run's id."""
    times = Counter(names)
    return [name if times[name] == 1 else f"{name} {identity[4:8]}" for name, identity in zip(names, ids, strict=True)]


def entries(sides: Sequence[Side]) -> list[Entry]:
    """Everything that is shown, column by column."""
    return [one for side in sides for one in side.entries]


def by_run(sides: Sequence[Side]) -> list[Entry]:
    """The same run by run: in a figure of two columns each side is then a column."""
    order = list(dict.fromkeys(one.run.id for one in entries(sides)))
    return sorted(entries(sides), key=lambda one: order.index(one.run.id))


def label(one: Entry, sides: Sequence[Side]) -> str:
    """What a figure calls an entry: the domain, the run, or both, whichever tells it from the others."""
    everything = entries(sides)
    several_runs = len({other.run.id for other in everything}) > 1
    several_domains = len({other.domain for other in everything}) > 1
    if several_runs:
        return f"{one.domain} · {one.label}" if several_domains else one.label
    return one.domain


def one_each(sides: Sequence[Side], key: str) -> list[Side]:
    """The sides with one run each, chosen where there are several: for views that do not overlay."""
    labels = list(dict.fromkeys(one.label for one in entries(sides)))
    if all(len(side.entries) == 1 for side in sides):
        return list(sides)
    chosen = st.segmented_control("Run", labels, default=labels[0], required=True, key=f"{key}-run")
    return [
        Side(side.title, tuple(one for one in side.entries if one.label == chosen))
        for side in sides
        if any(one.label == chosen for one in side.entries)
    ]


def warnings(sides: Sequence[Side]) -> None:
    """What a reader must know before comparing: a domain the dictionary never saw, and images that are not the same."""
    everything = entries(sides)
    strange = [one for one in everything if not one.found.get("trained_on", True)]
    if strange:
        names = ", ".join(plain(label(one, sides)) for one in strange)
        several = len({other.run.id for other in everything}) > 1
        whose = "" if several else f" It was trained on {plain(' and '.join(everything[0].run.config.train_domains))}."
        st.info(f"**Not trained on this domain**: {names}.{whose}", icon=":material/swap_horiz:")
    for domain in dict.fromkeys(one.domain for one in everything):
        images = {one.run.keys[f"manifest:{domain}"] for one in everything if one.domain == domain}
        if len(images) > 1:
            st.warning(
                f"The runs have **different images** under the name {plain(domain)}: "
                "their numbers stand beside each other, but do not compare image by image.",
                icon=":material/warning:",
            )
