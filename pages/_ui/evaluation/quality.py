"""What the dictionary's codes are like: how many latents an image uses, how often each fires, how single-minded, what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import theme, watch
from pages._ui.evaluation import compare
from pages._ui.evaluation.classes import colours
from pages._ui.evaluation.sides import Entry, Side, entries, label
from pages._ui.text import count, plain


def show(sides: Sequence[Side]) -> None:
    """The distributions of all on shared axes, then each side's numbers, then the sparse probes."""
    shown = {label(one, sides): one.found.get("quality") for one in entries(sides)}
    have = {name: quality for name, quality in shown.items() if quality}
    shades = colours(sides)
    left, right = st.columns(2, gap="large")
    with left:
        used = {name: quality["l0_distribution"] for name, quality in have.items()}
        theme.show(sc.figures.l0_histogram(used, shades), key="l0-histogram")
    with right:
        rates = {name: quality["spectrum"] for name, quality in have.items()}
        theme.show(sc.figures.firing_spectrum(rates, shades), key="spectrum")
    compare.show(sides)
    compare.details(sides, _numbers)
    probed = {name: quality["sparse_probes"] for name, quality in have.items() if quality.get("sparse_probes")}
    if probed:
        st.subheader("How well a few latents tell a class", anchor=False)
        theme.show(sc.figures.sparse_probe_lines(probed, shades), key="sparse-probes")
        st.caption(
            "AUROC of one class against the others from its k best latents, chosen on training images and tested on held-out "
            "ones, against as many raw dimensions of the embedding; the null shuffles the classes."
        )
    _offer_probes(entries(sides))


def _offer_probes(shown: Sequence[Entry]) -> None:
    """A button for the sparse probes where a domain with classes has none: they take long, so they are made when asked for."""
    first = next((one for one in shown if one.found.get("zero_shot") and not one.found["quality"].get("sparse_probes")), None)
    if first is None or first.run.config.evaluate.sparse_probes:
        return
    st.caption("How well do 1, 5 or 20 latents tell a class? Sparse probes say so; they take seconds to minutes.")
    if st.button("Measure with sparse probes", icon=":material/query_stats:", key="sparse-probes-start"):
        evaluate = first.run.config.evaluate.model_copy(update={"sparse_probes": True})
        watch.launch("evaluate", first.run.config.model_copy(update={"evaluate": evaluate}))


def _numbers(one: Entry) -> None:
    q = one.found.get("quality")
    if q:
        st.markdown("\n".join(f"- {what}: **{plain(value)}**, {plain(of)}" for what, value, of in facts(q)))
        st.caption(f"Over {plain(q['over'])}.")
    for note in one.found["notes"]:
        st.caption(plain(note))


def facts(q: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The single numbers: what, its value, and what it was measured on."""
    return [
        ("dead latents", compare.percent(q["dead_fraction"]), "fire on none of these images"),
        ("almost dead", compare.percent(q["almost_dead_fraction"]), "fire on fewer than 1 in 10,000"),
        ("dense", compare.percent(q["dense_fraction"]), "fire on more than a tenth"),
        *_monosemanticity(q.get("ms")),
        *_cknna(q.get("cknna")),
        *_probe(q.get("class_probe")),
    ]


def _monosemanticity(ms: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if not ms or ms.get("mean") is None:
        return []
    circular = ", the dictionary's own input: circular" if ms["circular"] else ""
    lines = [
        (
            "MS, mean (median, p90)",
            f"{ms['mean']:.3f} ({ms['median']:.3f}, {ms['p90']:.3f})",
            f"similarity by {ms['encoder']}{circular}; {count(ms['latents'], 'latent')}, n = {ms['n']:,}",
        )
    ]
    if ms.get("random_mean") is not None:
        lines.append(("MS of shuffled codes", f"{ms['random_mean']:.3f}", "the level that means nothing"))
    return lines


def _cknna(one: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if not one or one.get("value") is None:
        return []
    where = f"k = {one['k']}, {count(one['batches'], 'batch', 'batches')} of {one['batch']:,}, n = {one['n']:,}"
    return [("CKNNA", f"{one['value']:.3f}", f"embedding and reconstruction have the same neighbours; {where}")]


def _probe(one: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if not one:
        return []
    change = compare.points(one["delta"], one["delta_ci_low"], one["delta_ci_high"])
    both = f"{compare.percent(one['accuracy_x'])} → {compare.percent(one['accuracy_x_hat'])}"
    fitted = f"fitted on {one['trained']:,} images, tested on {one['n']:,}, {one['classes']} classes"
    return [
        ("class probe", both, f"{change}; {fitted}"),
        ("probe's agreement", compare.percent(one["agreement"]), "the same answer for embedding and reconstruction"),
    ]
