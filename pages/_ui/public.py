"""The rules of an app that strangers use: whose visit this is, what no text of a page may say, and what is said of limits."""

from __future__ import annotations

import os
import re
import secrets
from functools import lru_cache
from pathlib import Path

import streamlit as st

import sae_core as sc

COOKIE = "sketch_sae_visitor"
"""A random name that a browser keeps, so that a visitor's runs outlive a reload; `guarding.py` gives it out."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{32,64}")
_VISIT = "_visitor"
_ABSOLUTE = re.compile(r"(?<![\w/.:~-])~?/(?:[\w.+@-]+/)+[\w.+@-]*")


def on() -> bool:
    """Whether strangers use this app (SAE_LAB_PUBLIC=1): then no page reads or says a path of the server's."""
    return sc.config.public.is_public()


def shared_cache() -> Path:
    """The cache that everyone sees: the environment's SAE_LAB_CACHE, else `cache`."""
    return Path(os.environ.get("SAE_LAB_CACHE", "cache"))


def visitor() -> str:
    """The token of this visit: the browser's cookie where it has one, else one that lasts as long as the session."""
    # The first answer stands for the whole session: a cookie that is given out later would change whose cache this is.
    if _VISIT not in st.session_state:
        cookie = st.context.cookies.get(COOKIE, "")
        st.session_state[_VISIT] = cookie if isinstance(cookie, str) and TOKEN.fullmatch(cookie) else secrets.token_urlsafe(24)
    token: str = st.session_state[_VISIT]
    return token


def own_cache() -> Path:
    """The folder of this visitor's own cache, which is there once they have made something."""
    return sc.visitors.cache_of(visitor())


def limits() -> None:
    """What a job may take at most here, said before the click; nothing in an app of one's own."""
    if on():
        st.caption(
            f":material/groups: This app is public: a job takes {sc.config.public.LIMITS.words()}, and one visitor's job runs at "
            "a time. What you make is seen by you alone and kept for a day after you last used it."
        )
        if sc.visitors.is_taken(own_cache(), sc.jobs.may_be_at_work):
            st.info("Another visitor's job is at work. Yours can start when it is over.", icon=":material/hourglass_top:")


def scrub(text: str) -> str:
    """A text without the server's paths: the caches are called `cache`, any other folder `…`."""
    for folder in _folders(os.environ.get("SAE_LAB_CACHE"), os.environ.get(sc.visitors.VARIABLE)):
        text = re.sub(rf"{re.escape(folder)}(?:/[0-9a-f]{{16}})?(?=[/\s;,:'\")]|$)", "cache", text)
    return _ABSOLUTE.sub("…", text)


@lru_cache(maxsize=4)
def _folders(shared: str | None, visitors: str | None) -> tuple[str, ...]:
    """The folders that stand for the cache, the longest first, as they are given and as they are resolved."""
    found = {shared or "cache", visitors or str(sc.visitors.visitors_folder())}
    found |= {str(Path(one).absolute()) for one in found} | {str(Path(one).resolve()) for one in found}
    return tuple(sorted((one for one in found if "/" in one), key=len, reverse=True))


def log_id() -> str:
    """A short random id, by which a message on a page is found in the server's log."""
    return secrets.token_hex(4)
