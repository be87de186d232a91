"""The prompts: which there were, and another evaluation with other templates or other words for the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import watch
from pages._ui.evaluation.sides import Entry, Side, one_each
from pages._ui.text import count, plain

SETS = {"sketch": "for sketches", "photo": "for photos", "openai_imagenet": "OpenAI's 80 for ImageNet"}
MOST = 200
"""Templates that the page takes; each is read by the text tower once a class."""


def show(sides: Sequence[Side]) -> None:
    """A column of editors for each side, and the button that evaluates with what they say."""
    chosen = one_each(sides, "prompts")
    one_run = len({side.entries[0].run.id for side in chosen}) == 1
    st.markdown(
        "A prompt is a template with a class's words in place of `{}`; a class is the mean direction of its prompts. Other "
        "prompts make another evaluation, a run of its own beside this one, which the box above lays over it."
    )
    edited: dict[str, dict[str, Any] | None] = {}
    for place, side in zip(st.columns(len(chosen), gap="large"), chosen, strict=True):
        one = side.entries[0]
        with place:
            st.subheader(plain(side.title), anchor=False)
            if one.found.get("zero_shot"):
                edited[one.key] = _editor(one)
                if not one_run:
                    _start({one.domain: edited[one.key]}, one)
            else:
                st.caption("No classes, so no prompts: images look for their own captions.")
    if one_run and edited:
        domains = {side.entries[0].domain: edited.get(side.entries[0].key) for side in chosen}
        _start(domains, chosen[0].entries[0])


def _editor(one: Entry) -> dict[str, Any] | None:
    """Templates and words as edited: {templates, class_names}; None where they cannot be used, and then a line says why."""
    z = one.found["zero_shot"]
    used = "\n".join(z["templates"])
    key = f"prompts-{one.key}"
    start = st.selectbox(
        "Begin with",
        ["used", *SETS],
        format_func=lambda name: f"as they were ({len(z['templates'])})" if name == "used" else SETS[name],
        key=f"{key}-set",
    )
    begun = used if start == "used" else "\n".join(sc.resolve_templates(start))
    text = st.text_area("Templates, one a line", begun, height=200, key=f"{key}-templates-{start}", max_chars=20_000)
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    words = _words(one, z, key)
    try:
        templates = sc.resolve_templates(lines[:MOST])
    except sc.InputError as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(plain(f"{count(len(templates), 'template')} × {count(len(z['classes']), 'class', 'classes')}; for example:"))
    first = next(iter(words.values()), "")
    st.code("\n".join(template.replace("{}", first) for template in templates[:3]), language=None, wrap_lines=True)
    changed = {name: word for name, word in words.items() if word != name}
    return {"templates": None if list(templates) == list(z["templates"]) else list(templates), "class_names": changed}


def _words(one: Entry, z: Mapping[str, Any], key: str) -> dict[str, str]:
    """The words of each class as the table says, by the class's own name."""
    names = list(z["classes"])
    words = list(z.get("class_names") or names)
    with st.expander(f"Words for the {count(len(names), 'class', 'classes')}"):
        table = st.data_editor(
            pd.DataFrame({"class": names, "in prompts": words}),
            hide_index=True,
            width="stretch",
            disabled=["class"],
            key=f"{key}-words",
            column_config={"in prompts": st.column_config.TextColumn(required=True, max_chars=100)},
            height=min(320, 38 + 35 * len(names)),
        )
    return {name: " ".join(str(word).split()) or name for name, word in zip(names, table["in prompts"], strict=True)}


def config_with(run: sc.pipeline.Recorded, edits: Mapping[str, Mapping[str, Any]]) -> sc.RunConfig:
    """The run's configuration with other prompts: `edits` by domain, see `_editor`. Raises InputError.

    A domain's words replace those of before; templates of None stay as they are.
    """
    raw = run.config.model_dump(mode="json")
    evaluate = raw["evaluate"]
    for domain, edit in edits.items():
        if edit["templates"] is not None:
            evaluate["templates"] = {**evaluate["templates"], domain: edit["templates"]}
        others = {name: words for name, words in evaluate["class_names"].items() if name != domain}
        evaluate["class_names"] = {**others, **({domain: edit["class_names"]} if edit["class_names"] else {})}
    return sc.config.validate(sc.RunConfig, raw, "prompts")


def _start(edits: Mapping[str, dict[str, Any] | None], one: Entry) -> None:
    """The button; it is off while nothing was changed, or something cannot be used."""
    known = {domain: edit for domain, edit in edits.items() if edit is not None}
    try:
        config = config_with(one.run, known)
    except sc.InputError as error:
        st.error(plain(error), icon=":material/error:")
        return
    same = config.evaluate == one.run.config.evaluate
    broken = len(known) < len([domain for domain, edit in edits.items() if domain]) and None in edits.values()
    if st.button(
        "Evaluate with these prompts",
        type="primary",
        icon=":material/balance:",
        key=f"prompts-start-{one.key}",
        disabled=same or broken,
        help="These are the prompts it was evaluated with." if same else None,
    ):
        watch.launch("evaluate", config)
