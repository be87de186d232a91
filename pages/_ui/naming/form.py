"""How latents are to be named: offline or by a vision model, with which words, which endpoint and model, up to which price."""

from __future__ import annotations

from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.naming import keys
from pages._ui.text import count, plain

VOCABULARIES = {
    "builtin": "our own list of strokes, shapes and things",
    "classes": "the class names of this run's data",
    "captions": "the captions of this run's data",
    "imagenet": "the 1,000 class names of ImageNet",
    "file": "a file of your own",
}
METHODS = {"clip": "Offline, by CLIP's text tower", "vision": "By a vision model"}
OPENROUTER, CUSTOM = "OpenRouter", "another endpoint"
METHOD = "naming-method"
CHOSEN = "_vision_chosen"
"""The session's key of the vision settings as the form last had them."""
_MODELS = "_vision_models"


def method(current: sc.config.InterpretConfig) -> str:
    """The method, the run's own at first."""
    if METHOD not in st.session_state:
        st.session_state[METHOD] = current.method
    return str(
        st.segmented_control(
            "Method",
            list(METHODS),
            format_func=METHODS.__getitem__,
            required=True,
            key=METHOD,
            persist_state="session",
            wrap=True,
        )
    )


def vocabulary(current: sc.config.InterpretConfig) -> dict[str, Any]:
    """The words to choose among; the settings they mean."""
    options = [one for one in VOCABULARIES if one != "file" or (current.vocabulary == "file" and not session.public())]
    at = options.index(current.vocabulary) if current.vocabulary in options else 0
    chosen = st.selectbox("Vocabulary", options, index=at, format_func=VOCABULARIES.__getitem__, key="interpret-vocabulary")
    if not session.public():
        st.caption(
            "Words of your own: `--set interpret.vocabulary=file --set interpret.vocabulary_file=words.txt`, one word a line."
        )
    return {"vocabulary": chosen, "vocabulary_file": current.vocabulary_file if chosen == "file" else None}


def vision(current: sc.config.VisionConfig) -> tuple[sc.config.VisionConfig, sc.Secret | None]:
    """Endpoint, key, model and cap. Raises InputError for an endpoint that may not be asked; the model may be None still."""
    endpoint = keys.allowed(_address(current))
    key = keys.field(endpoint)
    models = _listed(endpoint, key)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        model = _model(endpoint, models, current)
    cap = right.number_input(
        "Cap (USD)",
        0.0,
        1000.0,
        min(current.cap, 1000.0),
        0.25,
        format="%.2f",
        key="vision-cap",
        persist_state="session",
        help="No request is sent that could go beyond it. A job that reaches it keeps what is finished.",
    )
    settings = {
        "endpoint": endpoint.url,
        "model": model,
        "cap": float(cap),
        "allow_unknown_price": _unknown(models.get(model or "")),
    }
    chosen = sc.config.validate(sc.config.VisionConfig, {**current.model_dump(mode="json"), **settings}, "interpret.vision")
    st.session_state[CHOSEN] = chosen
    return chosen, key


def _address(current: sc.config.VisionConfig) -> str:
    if session.public():
        st.caption(plain(f"The model is asked through {keys.OPENROUTER} with your own key."))
        return keys.OPENROUTER
    own = current.endpoint != keys.OPENROUTER
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    kind = left.selectbox("Endpoint", (OPENROUTER, CUSTOM), index=int(own), key="vision-endpoint", persist_state="session")
    if kind == OPENROUTER:
        right.caption(f"`{keys.OPENROUTER}`: one key for the models of many companies.")
        return keys.OPENROUTER
    return str(
        right.text_input(
            "Address",
            current.endpoint if own else "",
            key="vision-address",
            persist_state="session",
            placeholder="https://host/v1, or http://localhost:1234/v1",
            help="Any server that speaks the OpenAI API: https, or http on this machine.",
        )
    )


def _listed(endpoint: sc.Endpoint, key: sc.Secret | None) -> dict[str, Any]:
    """The endpoint's models by id, once they were asked for in this visit."""
    kept: dict[str, dict[str, Any]] = st.session_state.setdefault(_MODELS, {})
    again = endpoint.url in kept
    if st.button("List the models again" if again else "List models", key="vision-list", icon=":material/list:"):
        with st.spinner(f"Asking {plain(endpoint.host)} for its models …"):
            kept[endpoint.url] = {one.id: one for one in sc.vision_models(endpoint, key)}
        st.rerun()
    return kept.get(endpoint.url, {})


def _model(endpoint: sc.Endpoint, models: dict[str, Any], current: sc.config.VisionConfig) -> str | None:
    own = current.model if current.endpoint == endpoint.url else None
    options = list(dict.fromkeys([*([own] if own else []), *models]))
    chosen = st.selectbox(
        "Model",
        options,
        index=0 if own else None,
        format_func=lambda one: told(models[one]) if one in models else one,
        key=f"vision-model-{endpoint.host}",
        persist_state="session",
        accept_new_options=True,
        placeholder="choose, or type a model's id" if models else "list the models first, or type a model's id",
    )
    if models:
        st.caption(plain(f"{count(len(models), 'model')} of {endpoint.host} take pictures; its own prices, per million tokens."))
    if chosen in models and not models[chosen].structured:
        st.caption(":material/warning: The endpoint does not say that this model keeps to a form; more of its replies may fail.")
    return str(chosen).strip() or None if chosen else None


def told(model: Any) -> str:
    """A model in a line: its name and its prices per million tokens."""
    if model.price_in is None or model.price_out is None:
        return f"{model.name} · price unknown"
    if not (model.price_in or model.price_out):
        return f"{model.name} · free"
    return f"{model.name} · ${1e6 * model.price_in:,.2f} in, ${1e6 * model.price_out:,.2f} out"


def _unknown(model: Any) -> bool:
    """Whether to go on without a price; asked where the model's price is not known."""
    if model is None or model.price is not None:
        return False
    return bool(
        st.checkbox(
            "Nobody names this model's price. Go on: the cap then holds only as far as the endpoint bills its replies.",
            key=f"vision-unknown-{model.id}",
        )
    )
