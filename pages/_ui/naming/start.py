"""Naming is started here: offline at a click, with a vision model after what it costs and sends was shown and agreed to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import load, session, watch
from pages._ui.naming import choice, form, keys
from pages._ui.page import errors_shown
from pages._ui.text import plain

_PLANS = "_vision_plans"


def section(run: sc.pipeline.Recorded, have: sc.pipeline.Run, first: bool) -> None:
    """The form; `first` where the run has no names yet."""
    st.subheader("Name the latents" if first else "Name them again", anchor=False)
    with errors_shown():
        current = run.config.interpret
        how = form.method(current)
        chosen = choice.choose(run, have)
        if how == "clip":
            _offline(run, current, chosen, first)
        else:
            _vision(run, have, current, chosen)


def _offline(run: sc.pipeline.Recorded, current: sc.config.InterpretConfig, chosen: sc.config.Latents, first: bool) -> None:
    st.caption("No key, no cost, nothing leaves this machine: words are compared with each latent's direction through CLIP.")
    settings = current.model_copy(update={"method": "clip", "latents": chosen, **form.vocabulary(current)})
    same = not first and settings == current
    _on_the_command_line(run.id, settings)
    if st.button(
        "Name the latents" if first else "Name again",
        type="primary" if first else "secondary",
        icon=":material/label:",
        disabled=same,
        key="make-interpret",
        help="Choose other words or latents than these." if same else None,
    ):
        watch.launch("interpret", with_naming(run.config, settings))


def _vision(
    run: sc.pipeline.Recorded, have: sc.pipeline.Run, current: sc.config.InterpretConfig, chosen: sc.config.Latents
) -> None:
    st.caption(
        "The model is shown images that fire a latent and images that do not, gives a name, and reads the name anew beside "
        "images it has not seen. What it answers is kept, so nothing is paid twice."
    )
    settings, key = form.vision(current.vision)
    wanted = current.model_copy(update={"method": "vision", "latents": chosen, "vision": settings})
    config = with_naming(run.config, wanted)
    _on_the_command_line(run.id, wanted)
    identity = sc.jobs.job_id("interpret", config)
    plans: dict[str, Any] = st.session_state.setdefault(_PLANS, {})
    missing = settings.model is None
    if st.button(
        "Estimate price and images",
        key="vision-estimate",
        icon=":material/request_quote:",
        type="secondary" if identity in plans else "primary",
        disabled=missing,
        help="Choose a model first." if missing else "Only the endpoint's list of models is asked.",
    ):
        with st.spinner("Counting images and requests …"):
            found = material(have, wanted.seed)
            plans[identity] = sc.plan_vision(wanted, found, ids_of(chosen, have), key)
    plan = plans.get(identity)
    if plan is None:
        st.caption("The estimate comes before the first question, and nothing is sent before you agree to it.")
        return
    agreed = agreement(plan, f"vision-agree-{identity}")
    if any(job.active and job.id == identity for job in sc.jobs.all_jobs(session.store())):
        st.info("This is at work: its panel is at the top of the page.", icon=":material/pending:")
        return
    lacks = key is None and not plan.loopback
    if lacks:
        st.warning(plain(f"{plan.host} will want a key: give it above."))
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="vision-start", disabled=not agreed or lacks):
        keys.confirm(config)
        watch.launch("interpret", config)


def agreement(plan: Any, key: str) -> bool:
    """Show a plan, and ask whether the images may leave; True once the visitor has said yes."""
    with st.container(border=True):
        for line in plan.lines()[1:]:
            st.markdown(plain(line))
        question = plan.leaves if plan.loopback else f"{plan.leaves} I agree."
        return bool(st.checkbox(f"**{plain(question)}**", key=key)) and plan.latents > 0


def with_naming(config: sc.RunConfig, settings: sc.config.InterpretConfig) -> sc.RunConfig:
    """A run's configuration with other settings for its names, checked again."""
    return sc.config.validate(
        sc.RunConfig, {**config.model_dump(mode="json"), "interpret": settings.model_dump(mode="json")}, "run"
    )


def command_line(run_id: str, settings: sc.config.InterpretConfig, cache: Path) -> str:
    """The command that names as the form says; a key is no part of it."""
    config = (cache / "runs" / run_id / "config.yaml").as_posix()
    parts = ["python", "-m", "sae_core", "interpret", "--config", config, "--cache", cache.as_posix()]
    chosen = settings.latents
    which = f"strongest:{chosen.strongest}" if chosen.strongest is not None else ",".join(map(str, chosen.ids or ())) or "all"
    parts += ["--method", settings.method, "--latents", which]
    if settings.method == "clip":
        parts += ["--set", f"interpret.vocabulary={settings.vocabulary}"]
        if settings.vocabulary_file is not None:
            parts += ["--set", f"interpret.vocabulary_file={settings.vocabulary_file}"]
    else:
        vision = settings.vision
        parts += ["--endpoint", vision.endpoint, "--model", vision.model or "MODEL", "--cap", f"{vision.cap:g}"]
        if vision.allow_unknown_price:
            parts += ["--set", "interpret.vision.allow_unknown_price=true"]
    return shlex.join(parts)


def _on_the_command_line(run_id: str, settings: sc.config.InterpretConfig) -> None:
    with st.expander(
        "The same on the command line", icon=":material/terminal:", key="interpret-command", on_change="rerun"
    ) as place:
        if not place.open:
            return
        st.code(command_line(run_id, settings, session.shown_cache()), language="bash", wrap_lines=True)
        if settings.method == "vision":
            st.caption(
                "The key comes from the environment: `SAE_LAB_VISION_KEY`, or `OPENROUTER_API_KEY` for OpenRouter. "
                "With `--dry-run` it says what it would ask, send and cost, and asks nobody."
            )


def ids_of(chosen: sc.config.Latents, have: sc.pipeline.Run) -> Any:
    """The latents that a choice means, int64."""
    return sc.chosen_latents(chosen, load.activations(have))


def material(have: sc.pipeline.Run, seed: int) -> sc.Material:
    """What names are made and tested on, read once for all visitors."""
    made = tuple(sorted(outcome.key for outcome in have.outcomes.values() if outcome.stage in ("manifest", "embed", "collect")))
    return _material(made, seed, have)  # type: ignore[no-any-return]


@st.cache_resource(max_entries=2, show_spinner="Reading the images' embeddings …")
def _material(made: tuple[str, ...], seed: int, _have: sc.pipeline.Run) -> Any:
    return sc.Material.load(sc.store.Inputs({**_have.paths, "activations": _have.paths["collect"]}), seed)
