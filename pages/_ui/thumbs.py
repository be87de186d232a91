"""Thumbnails that are buttons: chosen with the mouse or the keyboard, loaded by the browser as it scrolls to them.

The pictures go to Streamlit's media store and come back as URLs, so that a page of 48 sends some kilobytes of JSON through the
WebSocket instead of every picture. The URL is a hash of the picture: it is the same at every run of the script, and the browser
asks for each picture once a visit. Captions and labels are set as text; nothing of the data is ever read as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st
from streamlit import runtime

from pages._ui import theme

Id = TypeVar("Id", int, str)
PLACES = 8
_TURNS = "_media_turns"


@dataclass(frozen=True)
class Thumb:
    """A picture of the gallery: `image` is an encoded file (PNG, WebP, JPEG or GIF bytes).

    `rendering` colours the border (`sketch` or `photo`; None: neutral), `caption` stands below the picture, `label` is what a
    screen reader says and what the pointer shows (the caption when empty), `starred` puts a star on it (bookmarked).
    """

    id: int | str
    image: bytes
    caption: str = ""
    rendering: str | None = None
    label: str = ""
    starred: bool = False


_CSS = """
.grid { display: grid; gap: 0.5rem; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); padding: 3px; }
.thumb {
  all: unset; box-sizing: border-box; display: flex; flex-direction: column; position: relative;
  border-radius: 6px; overflow: hidden; border: 1px solid var(--st-border-color);
  border-top: 3px solid var(--edge, var(--st-border-color));
  background: var(--st-secondary-background-color); color: var(--st-text-color); font: 0.8rem/1.25 var(--st-font);
}
button.thumb { cursor: pointer; }
button.thumb:hover { border-color: var(--st-primary-color); }
button.thumb:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
button.thumb[aria-pressed="true"] { outline: 3px solid var(--st-primary-color); outline-offset: 0; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; display: block; }
img.small { image-rendering: pixelated; }
.caption { padding: 0.2rem 0.4rem 0.3rem; overflow-wrap: anywhere; overflow: hidden;
  display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; }
.caption:empty { display: none; }
.starred::after { content: "★"; position: absolute; top: 3px; right: 3px; width: 1.25rem; height: 1.25rem; border-radius: 50%;
  background: var(--st-background-color); color: var(--st-primary-color); text-align: center; font-size: 0.9rem; }
"""

_JS = """
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

function make(clickable) {
  const thumb = document.createElement(clickable ? 'button' : 'div');
  const image = document.createElement('img');
  const caption = document.createElement('span');
  if (clickable) thumb.type = 'button';
  image.loading = 'lazy';
  image.decoding = 'async';
  image.onload = () => image.classList.toggle('small', image.naturalWidth <= 64);
  caption.className = 'caption';
  thumb.append(image, caption);
  return thumb;
}

function columns(thumbs) {
  const second = thumbs.findIndex((thumb) => thumb.offsetTop > thumbs[0].offsetTop);
  return second < 0 ? thumbs.length : second;
}

function target(thumbs, at, key) {
  if (key in STEPS) return at + STEPS[key];
  if (key === 'ArrowDown') return at + columns(thumbs);
  if (key === 'ArrowUp') return at - columns(thumbs);
  if (key === 'Home') return 0;
  if (key === 'End') return thumbs.length - 1;
  return undefined;
}

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let grid = parentElement.querySelector('.grid');
  if (!grid) {
    grid = document.createElement('div');
    grid.className = 'grid';
    grid.setAttribute('role', 'group');
    parentElement.appendChild(grid);
  }
  grid.style.setProperty('--side', data.side + 'px');
  grid.setAttribute('aria-label', data.title);

  // One element a place, kept from run to run: what has the focus keeps it, and a picture that stays is not loaded again.
  const tag = data.clickable ? 'BUTTON' : 'DIV';
  if (grid.firstChild && grid.firstChild.tagName !== tag) grid.replaceChildren();
  while (grid.children.length > data.thumbs.length) grid.lastChild.remove();
  while (grid.children.length < data.thumbs.length) grid.append(make(data.clickable));
  const thumbs = [...grid.children];
  data.thumbs.forEach((thumb, at) => {
    const element = thumbs[at];
    const [image, caption] = element.children;
    const url = new URL(thumb.url, document.baseURI).href;
    const label = thumb.label + (thumb.starred ? ', bookmarked' : '');
    element.className = thumb.starred ? 'thumb starred' : 'thumb';
    element.dataset.at = at;
    element.title = label;
    if (thumb.edge) element.style.setProperty('--edge', thumb.edge); else element.style.removeProperty('--edge');
    if (image.src !== url) image.src = url;
    image.alt = data.clickable ? '' : label;
    caption.textContent = thumb.caption;
    if (data.clickable) {
      element.setAttribute('aria-label', label);
      element.setAttribute('aria-pressed', String(at === data.selected));
      element.onclick = () => setTriggerValue('clicked', at);
    }
  });
  if (!data.clickable || !thumbs.length) return;

  // The grid is one stop for the Tab key; the arrows, Home and End move within it, Enter and Space choose.
  const enter = (at) => thumbs.forEach((thumb, other) => { thumb.tabIndex = other === at ? 0 : -1; });
  const held = thumbs.findIndex((thumb) => thumb === parentElement.activeElement);
  enter(held >= 0 ? held : Math.max(0, data.selected));
  thumbs.forEach((thumb, at) => { thumb.onfocus = () => enter(at); });
  grid.onkeydown = (event) => {
    const at = thumbs.indexOf(parentElement.activeElement);
    const next = at < 0 || event.altKey || event.ctrlKey || event.metaKey ? undefined : target(thumbs, at, event.key);
    if (next === undefined) return;
    event.preventDefault();
    if (thumbs[next]) thumbs[next].focus();
  };
}
"""


def gallery(
    thumbs: Sequence[Thumb],
    key: str,
    selected: int | str | None = None,
    clickable: bool = True,
    side: int = 104,
    title: str = "Pictures",
    on_click: Callable[[int | str], None] | None = None,
) -> int | str | None:
    """Show thumbnails in as many columns as fit.

    Args:
        thumbs: the pictures of one page (24 to 48).
        key: unique on the page.
        selected: the id of the picture that is marked.
        clickable: False shows the pictures only, as images with a text and not as buttons.
        side: smallest width of a picture in CSS pixels.
        title: what a screen reader calls the group.
        on_click: called with the id of the picture that was clicked, before the page runs again.

    Returns: the id of the picture just clicked, in this script run only; else None.
    """
    edges = theme.colours()
    shown = [
        {
            "url": media_url(thumb.image, f"{key}-{at}"),
            "caption": thumb.caption,
            "label": thumb.label or thumb.caption or str(thumb.id),
            **({"edge": edges[thumb.rendering]} if thumb.rendering in edges else {}),
            **({"starred": True} if thumb.starred else {}),
        }
        for at, thumb in enumerate(thumbs)
    ]
    ids = [thumb.id for thumb in thumbs]
    data = {
        "thumbs": shown,
        "selected": ids.index(selected) if selected in ids else -1,
        "clickable": clickable,
        "side": side,
        "title": title,
    }
    # Registered at every run, because a server may start its sessions in any order and the registry forgets nothing twice.
    component = st.components.v2.component("sketch_sae_lab_thumbs", css=_CSS, js=_JS)

    def hit(at: Any) -> int | str | None:
        return ids[int(at)] if at is not None and 0 <= int(at) < len(ids) else None

    def clicked() -> None:  # a trigger needs a callback to exist
        found = hit(st.session_state[key].clicked)
        if on_click is not None and found is not None:
            on_click(found)

    return hit(component(data=data, key=key, on_clicked_change=clicked).clicked)


def media_url(image: bytes, coordinates: str) -> str:
    """The URL, relative to the page, under which Streamlit serves these bytes to this session until its next full run.

    The server forgets a picture when another takes its place, and a browser that is slow to ask for it would find nothing there:
    so another picture at the same coordinates takes the next of a few places.
    """
    turns: dict[str, tuple[int, int]] = st.session_state.setdefault(_TURNS, {})
    turn, last = turns.get(coordinates, (0, 0))
    known = hash(image)
    if known != last:
        turn = (turn + 1) % PLACES
    turns[coordinates] = (turn, known)
    return runtime.get_instance().media_file_mgr.add(image, _mime(image), f"{coordinates}-{turn}").lstrip("/")


def _mime(image: bytes) -> str:
    if image.startswith(b"\x89PNG"):
        return "image/png"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if image.startswith(b"GIF8") else "image/jpeg"
