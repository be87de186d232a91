"""What a latent's card says beside pictures: how strongly it fires, its classes, stroke measures, the latents near it."""

from __future__ import annotations

import streamlit as st

import sae_core as sc
from pages._ui import latents, session, theme
from pages._ui.geometry.one import words
from pages._ui.page import errors_shown
from pages._ui.text import plain
from pages._ui.thumbs import gallery

CLASSES = 8


def histogram(have: sc.pipeline.Run, card: sc.Card) -> None:
    """How strongly it fires, by domain."""
    figure = sc.figures.histogram_by_domain(card.histograms, latents.colours(have), "How strongly it fires")
    theme.show(figure, key="histogram")


def classes(have: sc.pipeline.Run, card: sc.Card) -> None:
    """The classes it fires on more often than chance, and all of them as a table."""
    if card.classes.empty:
        return
    st.markdown("**Classes it fires on, against chance**")
    colours = latents.colours(have)
    domains = list(dict.fromkeys(card.classes["domain"]))
    for column, domain in zip(st.columns(len(domains)), domains, strict=True):
        own = card.classes[card.classes["domain"] == domain]
        shown = own[own["fires"] > 0].head(CLASSES)
        with column:
            if shown.empty:
                st.caption(f"It fires on no labelled image of {plain(domain)}.")
                continue
            theme.show(sc.figures.class_dots(shown, colours[domain], domain), key=f"classes-{domain}")
    st.caption(
        f"Chance: labels dealt out anew {card.classes.attrs['permutations']:,} times within the domain, the best class of each "
        "time, so p holds for all classes at once. n: images of the class; lift: its rate over the domain's rate."
    )
    with st.expander("All classes as a table", icon=":material/table:", key="classes-table", on_change="rerun") as box:
        if box.open:
            st.dataframe(
                card.classes,
                hide_index=True,
                width="stretch",
                height=300,
                placeholder="–",
                column_config={
                    "fires": "fires on",
                    "rate": st.column_config.NumberColumn(format="percent"),
                    "mean": st.column_config.NumberColumn("mean activation", format="%.3f"),
                    "lift": st.column_config.NumberColumn(format="%.1f ×"),
                    "null_high": st.column_config.NumberColumn("chance reaches", format="%.1f ×"),
                    "p": st.column_config.NumberColumn(format="%.2g"),
                },
            )


def strokes(have: sc.pipeline.Run, card: sc.Card) -> None:
    """The stroke measures it follows; where the run has none yet, the way to them."""
    if not card.measures.empty:
        st.markdown("**Stroke measures it follows**")
        domains = list(dict.fromkeys(card.measures["domain"]))
        for column, domain in zip(st.columns(len(domains)), domains, strict=True):
            own = card.measures[card.measures["domain"] == domain].drop(columns="domain")
            column.caption(plain(domain))
            column.dataframe(
                own.assign(measure=own["measure"].map(words)),
                hide_index=True,
                width="stretch",
                height=min(248, 38 + 35 * len(own)),
                column_config={
                    "rho": st.column_config.NumberColumn(format="%+.2f", help="Rank correlation among images of one class."),
                    "p": st.column_config.NumberColumn(
                        format="%.2g", help="Permutation test, adjusted for the number of measures."
                    ),
                },
            )
    elif "geometry" in have.outcomes:
        st.caption("It fires on too few images to say which stroke measures it follows.")
    elif "geometry" in sc.pipeline.plan(have.config):
        st.caption("Which stroke measures it follows is not known yet: this run's latents have not been judged.")
        st.page_link("pages/geometry.py", label="Judge the latents", icon=":material/gesture:", query_params=session.link())


@st.fragment
def neighbours(have: sc.pipeline.Run, card: sc.Card) -> None:
    """Latents that point the same way, and latents that fire on the same images; a click opens one."""
    with errors_shown():
        # Not the table of all latents: the first card of a run would wait for it.
        sides = (
            ("Nearest decoder directions (cosine)", "decoder", card.neighbours, "cosine"),
            ("Fire on the same images (Jaccard)", "together", card.together, "jaccard"),
        )
        for column, (title, key, near, measure) in zip(st.columns(2), sides, strict=True):
            with column:
                st.markdown(f"**{title}**")
                ids = near["latent"].tolist()
                labels = [latents.label(have, other) for other in ids]
                texts = [
                    f"{other} · {value:.2f}" + (f" · {latents.short(label)}" if label else "")
                    for other, value, label in zip(ids, near[measure], labels, strict=True)
                ]
                found = (latents.best(have, other, text) for other, text in zip(ids, texts, strict=True))
                thumbs = [thumb for thumb in found if thumb]
                gallery(thumbs, key=f"near-{key}", side=88, title=title, on_click=latents.ask_for)
                if not thumbs:
                    st.caption("None.")
