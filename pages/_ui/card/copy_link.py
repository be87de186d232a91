"""A button that puts this page's full link on the clipboard, and says so."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

_CSS = """
button {
  all: unset; box-sizing: border-box; cursor: pointer; white-space: nowrap; min-height: 2.5rem; padding: 0.25rem 0.75rem;
  border-radius: var(--st-button-radius); border: 1px solid var(--st-border-color); color: var(--st-text-color);
  font: 0.875rem/1.6 var(--st-font);
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
input { width: 100%; box-sizing: border-box; margin-top: 0.3rem; font: 0.8rem var(--st-font); }
"""

_JS = """
export default function (component) {
  const { data, parentElement } = component;
  let button = parentElement.querySelector('button');
  if (!button) {
    button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-live', 'polite');
    button.textContent = data.label;
    parentElement.appendChild(button);
  }
  const link = () => {
    // What the address shows may lag behind; the page knows its run and its latent.
    const url = new URL(window.location.href);
    url.hash = '';
    url.search = new URLSearchParams(data.query).toString();
    return url.href;
  };
  const shown = (text) => {
    let field = parentElement.querySelector('input');
    if (!field) {
      field = document.createElement('input');
      field.readOnly = true;
      field.setAttribute('aria-label', 'Link to this page');
      parentElement.appendChild(field);
    }
    field.value = text;
    field.focus();
    field.select();
    return field;
  };
  const say = (text) => {
    button.textContent = text;
    setTimeout(() => { button.textContent = data.label; }, 2000);
  };
  button.onclick = async () => {
    const text = link();
    try {
      await navigator.clipboard.writeText(text);
      parentElement.querySelector('input')?.remove();
      say('Copied');
    } catch {
      // Without https, or in a frame that may not: the old way, and where that fails too, the link stands there selected.
      const field = shown(text);
      if (document.execCommand('copy')) {
        field.remove();
        button.focus();
        say('Copied');
      } else {
        say('Press Ctrl+C');
      }
    }
  };
}
"""


def copy_link(query: Mapping[str, str], key: str = "copy-link") -> None:
    """Show the button; the link is this page's address with `query` in place of its parameters."""
    component = st.components.v2.component("sketch_sae_lab_copy_link", css=_CSS, js=_JS)
    component(data={"query": dict(query), "label": "Copy link"}, key=key)
