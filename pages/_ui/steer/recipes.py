"""The recipe to take away, to share, to keep with the run and to load; and the command line and Python that do the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

import sae_core as sc
from pages._ui import latents, load, session
from pages._ui.bits import download
from pages._ui.card.copy_link import copy_link
from pages._ui.reproduce import commands
from pages._ui.steer import opened, picker, state
from pages._ui.steer.chosen import Chosen
from pages._ui.text import plain

_LINKED, _FILE, _SAID, _MINE = "_steer_recipe_in_url", "steer-recipe-file", "_steer_recipe_said", "_steer_recipes"
LARGEST = 1_000_000


def from_link(have: sc.pipeline.Run) -> None:
    """Load the recipe of the address, once."""
    asked = st.query_params.get("recipe")
    if asked is None or asked == st.session_state.get(_LINKED):
        return
    st.session_state[_LINKED] = asked
    _load(have, asked)


def _load(have: sc.pipeline.Run, text: str) -> None:
    """Load a recipe from a link or JSON text; what is wrong with it is said, and nothing changes."""
    st.session_state[_SAID] = None
    try:
        given = text.strip()
        if not given.startswith(("{", "r1.")):
            raise sc.InputError("this is no recipe; give a recipe.json that steering wrote, or a link to one")
        recipe = sc.read_recipe(given)
        scene = opened.scene(have)
        maxima = {edit.latent: float(scene.maxima(recipe)[edit.latent]) for edit in recipe.edits}
        known = sc.train_maxima(scene.activations, list(maxima))
        state.take(have, recipe.model_copy(update={"maxima": {**known, **recipe.maxima}}), known)
        st.session_state[_SAID] = ("loaded", _where(have, recipe))
    except sc.InputError as error:
        st.session_state[_SAID] = ("refused", str(error))


def _where(have: sc.pipeline.Run, recipe: sc.Recipe) -> str:
    """Choose the image that the recipe was made on, where these data have it and the link names none; says which it is."""
    if recipe.image is None:
        return "The recipe is loaded; it names no image."
    if "image" in st.query_params:
        return "The recipe is loaded, on the image that the link names."
    for domain, manifest in latents.manifests(have).items():
        same = (manifest.table["sha256"] == recipe.image).to_numpy().nonzero()[0]
        if len(same):
            st.session_state[picker.DOMAIN] = domain
            picker.go(have, domain, int(same[0]))
            return f"The recipe is loaded, on the image it was made on (image {same[0]} of {domain})."
    return "The recipe is loaded. The image it was made on is not among these data, so it is applied to the one shown."


def said() -> None:
    """What became of the last recipe that was loaded."""
    found = st.session_state.get(_SAID)
    if found is not None:
        kind, text = found
        if kind == "refused":
            st.error(f"The recipe is not loaded: {plain(text)}.", icon=":material/error:")
        else:
            st.caption(f":material/check: {plain(text)}")


def box(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """Load a recipe: from a file, from a link, or one that was kept."""
    with st.popover("Load a recipe", icon=":material/upload_file:"):
        st.file_uploader("recipe.json", key=_FILE, on_change=_uploaded, args=(have,))
        st.text_input("Or a link", key="steer-recipe-link", placeholder="r1.… or an address", on_change=_pasted, args=(have,))
        kept = _kept(run)
        if kept:
            st.selectbox(
                "Or one kept with this dictionary", kept, index=None, key="steer-recipe-kept", on_change=_picked, args=(run, have)
            )


def _uploaded(have: sc.pipeline.Run) -> None:
    file = st.session_state.get(_FILE)
    if file is None:
        return
    data = file.getvalue()
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it has {len(data):,} bytes")
        text = data.decode("utf-8")
    except ValueError as error:
        st.session_state[_SAID] = ("refused", f"{str(file.name)[:80]} is no recipe: {error}")
        return
    _load(have, text)


def _pasted(have: sc.pipeline.Run) -> None:
    text = str(st.session_state.get("steer-recipe-link") or "").strip()
    if text:
        at = text.find("recipe=r1.")
        _load(have, text if at < 0 else text[at + len("recipe=") :].split("&")[0].split("#")[0])


def _picked(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    name = st.session_state.get("steer-recipe-kept")
    if name is None:
        return
    try:
        recipe = _mine()[name] if session.public() else sc.load_recipe(session.store(), run.id, name)
    except (KeyError, sc.SaeLabError) as error:
        st.session_state[_SAID] = ("refused", str(error))
        return
    _load(have, recipe.to_json())


def _mine() -> dict[str, sc.Recipe]:
    """Recipes kept in this visit, where strangers use the app."""
    found: dict[str, sc.Recipe] = st.session_state.setdefault(_MINE, {})
    return found


def _kept(run: sc.pipeline.Recorded) -> list[str]:
    return sorted(_mine()) if session.public() else list(sc.saved_recipes(session.store(), run.id))


def _save(run: sc.pipeline.Recorded, recipe: sc.Recipe) -> None:
    name = str(st.session_state.get("steer-save-name") or "")
    try:
        if session.public():
            _mine()[name.strip()[:64] or "recipe"] = recipe
        else:
            sc.save_recipe(session.store(), run.id, name, recipe)
    except sc.SaeLabError as error:  # a button's callback runs outside of the page's frame
        st.toast(plain(error), icon=":material/error:", duration="long")
        return
    st.toast(f"Kept: {plain(name)}", icon=":material/check_circle:")


def take_away(run: sc.pipeline.Recorded, chosen: Chosen, recipe: sc.Recipe) -> None:
    """Download, copy, keep."""
    line = st.container(horizontal=True)
    download(line, "Download the recipe", recipe.to_json, "recipe.json", key="steer-recipe")
    about = chosen.subject.about
    where = {} if chosen.row is None else {"domain": str(about["domain"]), "image": str(about["image"])}
    with line.container(width="content"):
        copy_link({**session.link(), **where, "recipe": sc.to_link(recipe)}, key="steer-share")
    with line.popover("Keep it", icon=":material/bookmark_add:"):
        where_kept = "for this visit" if session.public() else "with this dictionary, in the cache"
        st.caption(f"The recipe is kept {where_kept}, under a name.")
        st.text_input("Name", key="steer-save-name", max_chars=64, placeholder="such as more spirals")
        st.button("Keep", key="steer-save", type="primary", on_click=_save, args=(run, recipe))


def reproduce(run: sc.pipeline.Recorded, have: sc.pipeline.Run, chosen: Chosen, recipe: sc.Recipe) -> None:
    """The command line and the Python that do what the page shows."""
    title = "This very edit from the command line, and in Python"
    with st.expander(title, icon=":material/terminal:", key="steer-reproduce", on_change="rerun") as place:
        if not place.open:
            return
        cache = session.shown_cache()
        if chosen.row is not None:
            shell, _ = commands("steer", run.id, cache)
            about = chosen.subject.about
            pairs = opened.overrides(str(about["domain"]), int(about["image"]), recipe)
            st.code(f"{shell} " + " ".join(f"--set {shlex.quote(pair)}" for pair in pairs), language="bash", wrap_lines=True)
            drawn = [one.id for one in sc.decoders_for(opened.scene(have).sae.encoder_id)]
            if drawn:
                replay = f"{shell} --image {about['image']} --domain {about['domain']} --recipe recipe.json"
                st.code(f"{replay} --decoder {drawn[0]} --out pictures", language="bash", wrap_lines=True)
        st.code(python(run, have, chosen, recipe, cache), language="python", wrap_lines=True)


def python(run: sc.pipeline.Recorded, have: sc.pipeline.Run, chosen: Chosen, recipe: sc.Recipe, cache: Path) -> str:
    """Python that steers the same embedding by the same recipe."""
    config = (cache / "runs" / run.id / "config.yaml").as_posix()
    about = chosen.subject.about
    lines = ["import sae_core as sc", f'run = sc.run({config!r}, cache={cache.as_posix()!r}, stage="interpret")']
    if chosen.row is not None:
        lines.append(f"x = run.load({'embed:' + str(about['domain'])!r}).rows([{about['image']}])")
    else:
        clip = load.embeddings(have, str(about["domain"])).encoder
        lines.append(f"x = sc.Towers().of({clip!r}).images([sc.open_image({chosen.words!r})])")
    lines.append(f"recipe = sc.read_recipe({sc.to_link(recipe)!r})")
    lines.append("steered = sc.steer(x, recipe, run.load('train').sae)")
    return "\n".join(lines)
