"""Thumbnails that are buttons: chosen with the mouse or the keyboard, loaded by the browser as it scrolls to them.

The pictures go to Streamlit's media store and come back as URLs, so that a page of 48 sends some kilobytes of JSON through the
WebSocket instead of every picture. Captions and labels are set as text; nothing of the data is ever read as HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st
from streamlit import runtime

from pages._ui import theme

Id = TypeVar("Id", int, str)


@dataclass(frozen=True)
class Thumb:
    """A picture of the gallery: `image` is an encoded file (PNG, WebP, JPEG or GIF bytes).

    `rendering` colours the border (`sketch` or `photo`; None: neutral), `caption` stands below the picture, `label` is what a
    screen reader says and what the pointer shows (the caption when empty).
    """

    id: int | str
    image: bytes
    caption: str = ""
    rendering: str | None = None
    label: str = ""


_CSS = """
.grid { display: grid; gap: 0.5rem; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); padding: 3px; }
button {
  all: unset; box-sizing: border-box; cursor: pointer; display: flex; flex-direction: column;
  border-radius: 6px; overflow: hidden; border: 1px solid var(--st-border-color);
  border-top: 3px solid var(--edge, var(--st-border-color));
  background: var(--st-secondary-background-color); color: var(--st-text-color); font: 0.8rem/1.25 var(--st-font);
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
button[aria-pressed="true"] { outline: 3px solid var(--st-primary-color); outline-offset: 0; }
button[disabled] { cursor: default; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; display: block; }
img.small { image-rendering: pixelated; }
span { padding: 0.2rem 0.4rem 0.3rem; overflow-wrap: anywhere; overflow: hidden;
  display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; }
span:empty { display: none; }
"""

_JS = """
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
  const focused = parentElement.activeElement ? parentElement.activeElement.dataset.at : undefined;
  grid.replaceChildren(...data.thumbs.map((thumb, at) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.at = at;
    button.title = thumb.label;
    button.setAttribute('aria-label', thumb.label);
    button.disabled = !data.clickable;
    if (data.clickable) button.setAttribute('aria-pressed', String(at === data.selected));
    if (thumb.edge) button.style.setProperty('--edge', thumb.edge);
    const image = document.createElement('img');
    image.loading = 'lazy';
    image.decoding = 'async';
    image.alt = '';
    image.onload = () => { if (image.naturalWidth <= 64) image.classList.add('small'); };
    image.src = new URL(thumb.url, document.baseURI).href;
    const caption = document.createElement('span');
    caption.textContent = thumb.caption;
    button.append(image, caption);
    button.onclick = () => setTriggerValue('clicked', at);
    return button;
  }));
  if (focused !== undefined) grid.querySelector('button[data-at="' + Number(focused) + '"]')?.focus();
  grid.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = [...grid.querySelectorAll('button')];
    const at = buttons.indexOf(parentElement.activeElement);
    if (step && at >= 0 && buttons[at + step]) { buttons[at + step].focus(); event.preventDefault(); }
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
) -> int | str | None:
    """Show thumbnails in as many columns as fit.

    Args:
        thumbs: the pictures of one page (24 to 48).
        key: unique on the page.
        selected: the id of the picture that is marked.
        clickable: False shows the pictures only.
        side: smallest width of a picture in CSS pixels.
        title: what a screen reader calls the group.

    Returns: the id of the picture just clicked, in this script run only; else None.
    """
    edges = theme.colours()
    shown = [
        {
            "url": media_url(thumb.image, f"{key}-{at}"),
            "caption": thumb.caption,
            "label": thumb.label or thumb.caption or str(thumb.id),
            "edge": edges.get(thumb.rendering or ""),
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
    clicked = component(data=data, key=key, on_clicked_change=_nothing).clicked
    return ids[int(clicked)] if clicked is not None and 0 <= int(clicked) < len(ids) else None


def _nothing() -> None:
    """A trigger needs a callback to exist; the click is read from the result."""


def media_url(image: bytes, coordinates: str) -> str:
    """The URL, relative to the page, under which Streamlit serves these bytes to this session until its next full run."""
    return runtime.get_instance().media_file_mgr.add(image, _mime(image), coordinates).lstrip("/")


def _mime(image: bytes) -> str:
    if image.startswith(b"\x89PNG"):
        return "image/png"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if image.startswith(b"GIF8") else "image/jpeg"
