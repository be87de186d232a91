"""API keys of this visit: in the memory of the session, by the host they are for, and nowhere else.

A key is taken out of its field as soon as it is typed, so that no page holds it; what is kept is a `sc.Secret`, which nothing
prints or pickles. It leaves this process in the header of a request, or in the environment of one worker (`sc.jobs.start`).
"""

from __future__ import annotations

import os

import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.text import plain

OPENROUTER = sc.config.VisionConfig().endpoint
VARIABLES = ("SAE_LAB_VISION_KEY", "OPENROUTER_API_KEY")
NAMING = ("run", "interpret", "visualize", "steer")
"""Commands that make names where they are missing."""
FIELD = "vision-key"
_KEPT, _FAULT, _CONFIRMED = "_vision_keys", "_vision_key_fault", "_vision_confirmed"


def allowed(address: str) -> sc.Endpoint:
    """The endpoint of an address.

    Strangers may not choose where this server sends requests: a name that is checked to be a public host can point into the
    private network by the time it is called, so where the app is public there is OpenRouter alone.

    Raises: InputError.
    """
    endpoint = sc.Endpoint.parse(address)
    if session.public() and endpoint.url != OPENROUTER:
        raise sc.InputError(f"endpoint: this app is public and asks {OPENROUTER} alone; run your own copy for another endpoint")
    return endpoint


def of(endpoint: sc.Endpoint) -> sc.Secret | None:
    """The key for an endpoint: typed in this visit, else (never in public, where it is the owner's) the environment's."""
    typed = _kept().get(endpoint.host)
    if typed is not None or session.public():
        return typed
    return sc.key_for(endpoint, {**_secrets(), **os.environ})


def _kept() -> dict[str, sc.Secret]:
    found: dict[str, sc.Secret] = st.session_state.setdefault(_KEPT, {})
    return found


def _secrets() -> dict[str, str]:
    """What Streamlit's secrets.toml says of keys."""
    if not st.secrets.load_if_toml_exists():
        return {}
    return {name: str(st.secrets[name]) for name in VARIABLES if name in st.secrets}


def field(endpoint: sc.Endpoint) -> sc.Secret | None:
    """The password field, or where the key comes from; returns the key."""
    fault = st.session_state.pop(_FAULT, None)
    key = of(endpoint)
    if endpoint.host in _kept():
        said, button = st.columns([4, 1], vertical_alignment="center")
        said.markdown(f":material/key: Your key for {plain(endpoint.host)} is kept for this visit, in memory alone.")
        button.button("Forget it", key="vision-key-forget", width="stretch", on_click=_forget, args=(endpoint.host,))
    elif key is not None:
        st.markdown(":material/key: The key comes from the environment or from Streamlit's secrets.")
    if endpoint.host not in _kept():
        st.text_input(
            f"API key for {endpoint.host}" + (" (a local server may need none)" if endpoint.loopback else ""),
            type="password",
            key=FIELD,
            on_change=_take,
            args=(endpoint.host,),
            autocomplete="off",
            placeholder="another key than the environment's" if key is not None else "",
            help="Kept in memory until you leave; written to no file, link, log or export. It goes to this host alone.",
        )
    if fault:
        st.error(plain(fault))
    return key


def _take(host: str) -> None:
    text = str(st.session_state[FIELD]).strip()
    # The field is emptied whatever it held, since a value left in it would be in the page's source.
    st.session_state[FIELD] = ""
    if text:
        try:
            _kept()[host] = sc.Secret(text)
        except sc.InputError as error:
            st.session_state[_FAULT] = str(error)


def _forget(host: str) -> None:
    _kept().pop(host, None)


# ---------------------------------------------------------------- jobs


def confirm(config: sc.RunConfig) -> None:
    """Note that the visitor saw what naming with this configuration sends and costs, and said yes."""
    st.session_state[_CONFIRMED] = sc.jobs.job_id("interpret", config)


def for_new_job(command: str, config: sc.RunConfig) -> sc.Secret | None:
    """The key a new job needs. Pictures leave and money is spent only once that was confirmed, whatever page starts the job.

    Raises: InputError where nobody has said yes, or the endpoint may not be asked.
    """
    if command not in NAMING or config.interpret.method != "vision":
        return None
    interpret = sc.pipeline.keys(config, session.store())["interpret"].key
    if session.store().has(interpret):
        return None
    if st.session_state.get(_CONFIRMED) != sc.jobs.job_id("interpret", config):
        raise sc.InputError(
            "the names of this run come from a vision model: start them on the Interpret page, which says first what they cost "
            "and which images leave this machine"
        )
    return of(allowed(config.interpret.vision.endpoint))


def for_old_job(command: str, config: sc.RunConfig) -> sc.Secret | None:
    """The key a job needs that was started before and goes on. Raises InputError where its endpoint may not be asked."""
    if command not in NAMING or config.interpret.method != "vision":
        return None
    endpoint = allowed(config.interpret.vision.endpoint)
    key = of(endpoint)
    if key is None and not endpoint.loopback:
        raise sc.InputError(f"there is no key for {endpoint.host} in this visit: give it on the Interpret page, then resume")
    return key
