"""Overview: where the chosen run stands, what it says in a few numbers, what to look at first, and every run there is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import checklist, frame, guard, headline, load, session, theme, watch
from pages._ui.bits import download
from pages._ui.page import page
from pages._ui.reproduce import reproduce
from pages._ui.text import count, duration, plain, size

QUESTION = (
    "Does a dictionary learned on **sketches** find strokes, and one learned on **photos** find things? Train a sparse "
    "autoencoder on CLIP's image embeddings, see what it costs CLIP, look at what every latent fires on, name it, and steer an "
    "image along it."
)


def headlines(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """A picture first, then the numbers."""
    metrics = have.metrics
    domains = [domain for domain in run.config.data if headline.of_domain(domain, metrics)]
    if not metrics:
        return
    st.subheader("What it costs, and how well it rebuilds", anchor=False)
    bars = _bars(domains, metrics)
    left, right = st.columns([1, 1], gap="large") if bars else (None, st.container())
    if bars and left is not None:
        with left:
            title = "Held-out images, CLIP and CLIP+SAE"
            axis = "captions found" if any("recall" in str(bar["group"]) for bar in bars) else "images classified rightly"
            theme.show(sc.figures.accuracy_bars(pd.DataFrame(bars), title, axis), key="overview-bars")
    with right:
        for domain in domains:
            _metrics(headline.of_domain(domain, metrics))
        _metrics(headline.of_dictionary(metrics))


def _bars(domains: list[str], metrics: dict[str, float]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for domain in domains:
        for condition, name in (("CLIP", "clip"), ("CLIP+SAE", "sae")):
            if f"{domain}.accuracy_{name}" in metrics:
                rows.append({"group": domain, "condition": condition, "value": metrics[f"{domain}.accuracy_{name}"]})
            for first in (1, 5, 10):
                recall = metrics.get(f"{domain}.recall_{first}_{name}")
                if recall is not None:
                    rows.append({"group": f"{domain} recall@{first}", "condition": condition, "value": recall})
    return rows


def _metrics(numbers: list[headline.Number]) -> None:
    if numbers:
        for column, one in zip(st.columns(len(numbers)), numbers, strict=True):
            # Grey, not red or green: whether a point is much is for the reader, who sees the interval.
            column.metric(plain(one.label), one.value, one.below, delta_color="off", help=plain(one.help), delta_arrow="off")


def look_first(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """Links to the pages that are worth a look, and to the best named latents."""
    here = {"run": run.id}
    links = [
        ("evaluate", "pages/zero_shot.py", "What it costs CLIP, class by class", ":material/balance:"),
        ("collect", "pages/geometry.py", "Strokes or class, sketch or photo: what latents follow", ":material/shape_line:"),
        ("collect", "pages/gallery.py", "Every living latent and its best picture", ":material/grid_view:"),
        ("interpret", "pages/interpret.py", "Which latents have a name that holds", ":material/label:"),
        ("steer", "pages/steer.py", "Turn a latent up, watch the label", ":material/tune:"),
    ]
    there = [link for link in links if link[0] in have.outcomes]
    if there:
        st.subheader("Look at this first", anchor=False)
    for _, target, text, icon in there:
        st.page_link(target, label=text, icon=icon, query_params=here)
    for latent, label, score in best_named(have):
        st.page_link(
            "pages/latent.py",
            label=plain(f"Latent {latent}: {label} ({sc.score_words(load.names(have).about)[0]} {score:.2f})"),
            icon=":material/filter_center_focus:",
            query_params={**here, "latent": str(latent)},
        )


def report(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """Everything measured as one file, made when it is asked for."""
    if "evaluate" not in have.outcomes:
        return
    name = f"{run.name.replace(' ', '_')}-{run.id[4:12]}-report.html"
    download(st, "Download the report", lambda: sc.report_html(have).encode(), name)
    st.caption("One HTML file with every number, its n and its interval, and the figures: to be attached to a paper or a mail.")


def best_named(have: sc.pipeline.Run, most: int = 3) -> list[tuple[int, str, float]]:
    """The named latents with the best held-out score: id, label, score."""
    if "interpret" not in have.outcomes or "collect" not in have.outcomes:
        return []
    table = load.names(have).table
    named = table[table["status"] == "ok"]
    best = named.sort_values("score", ascending=False).head(most)
    return [(int(j), str(label), float(score)) for j, label, score in zip(best.latent, best.label, best.score, strict=True)]


def pipeline(run: sc.pipeline.Recorded) -> None:
    """The checklist, and the button that makes what is missing."""
    st.subheader("The pipeline", anchor=False)
    jobs = watch.jobs_of(run)
    active = [job for job in jobs if job.active]
    for job in active or [job for job in jobs[:1] if job.state != "done" and job.id in watch.watched()]:
        watch.show(job)
    steps = checklist.steps(run, session.store(), active[0].stage if active else None)
    marks = {"done": "✓ done", "running": "… running", "missing": "– missing"}
    table = pd.DataFrame(
        [
            {
                "step": one.what,
                "state": marks[one.state],
                "took": "" if one.seconds is None else duration(one.seconds),
                "on disk": size(one.size) if one.size else "",
                "artifact": one.key,
            }
            for one in steps
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch")
    missing = [one for one in steps if one.state != "done"]
    took = sum(one.seconds or 0.0 for one in steps)
    st.caption(
        plain(f"{count(len(steps) - len(missing), 'step')} of {len(steps)} done; making them took {duration(took)} in all.")
    )
    if missing and not active and st.button("Make what is missing", type="primary", icon=":material/play_arrow:"):
        watch.launch("run", run.config)


def run_table(current: sc.pipeline.Recorded) -> None:
    """Every run of the cache; choosing a line opens it."""
    runs = session.all_runs()
    st.subheader(f"Runs in this cache ({len(runs)})", anchor=False)
    rows = []
    for run in runs[:100]:
        metrics = session.metrics_of(run)
        cells = headline.row(run, metrics or {}) | ({"run": f"{run.name} (damaged)"} if metrics is None else {})
        rows.append({"shown": "●" if run.id == current.id else "", **cells, "begun": datetime.fromtimestamp(run.created)})
    table = pd.DataFrame(rows)
    formats: dict[str, Any] = {
        "R²": st.column_config.NumberColumn(format="%.3f"),
        "L0": st.column_config.NumberColumn(format="%.1f"),
        "begun": st.column_config.DatetimeColumn(format="D MMM HH:mm"),
    }
    formats |= {str(name): st.column_config.NumberColumn(format="percent") for name in table if str(name).endswith(": change")}
    chosen = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key="run-table",
        placeholder="–",
        column_config=formats,
    )
    picked = chosen["selection"]["rows"]
    if picked and runs[picked[0]].id != current.id and st.button(f"Open {runs[picked[0]].name}", type="primary"):
        session.go_to(runs[picked[0]].id)
        st.rerun()
    st.caption("“Change” is zero-shot accuracy with the dictionary minus CLIP alone, on held-out images.")


with page("Sketch SAE Lab", QUESTION):
    chosen_run = session.current_run()
    if chosen_run is None:
        guard.offer_demo()
        st.stop()
    found = session.opened(chosen_run)
    if frame.uses_demo_model(chosen_run.config):
        st.info(
            "This run uses the **bundled demo model**, a small stand-in for CLIP that was trained on this project's own "
            "drawings. Its numbers say how the lab works, not what OpenAI's CLIP does.",
            icon=":material/science:",
        )
    st.markdown(f"Run **{plain(chosen_run.name)}** · trained on {plain(' and '.join(chosen_run.config.train_domains))}")
    headlines(chosen_run, found)
    look_first(chosen_run, found)
    report(chosen_run, found)
    pipeline(chosen_run)
    reproduce("run", chosen_run)
    run_table(chosen_run)
