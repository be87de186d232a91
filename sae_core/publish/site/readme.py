"""The README of a site: what it is, and the front matter that makes a static Space of the folder."""

from __future__ import annotations

import json

from sae_core.publish.card import BUNDLED_NOTE, embeds
from sae_core.publish.licences import Licences, front_matter
from sae_core.publish.site.material import Shown


def readme(shown: Shown, latents: int, licences: Licences) -> str:
    """Markdown with front matter; what comes from the run is quoted, so that it is a title and nothing else."""
    run = shown.run
    fields = {
        "title": run.config.name,
        "emoji": "✏️",
        "colorFrom": "purple",
        "colorTo": "blue",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        **front_matter(licences.dictionary),
    }
    head = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
    alive = len(shown.acts.alive())
    domains = " and ".join(f"`{name}`" for name in shown.acts.domains)
    parts = [
        f"---\n{head}\n---",
        f"# {_inline(run.config.name)}: what a sparse autoencoder sees",
        f"A latent browser as static files, written by Sketch SAE Lab from run `{run.id}`: {latents:,} latents, {alive:,} of "
        f"which fire, over {shown.acts.n:,} images ({domains}). Open `index.html`; it needs no server and asks for nothing from "
        "outside.",
        BUNDLED_NOTE if run.config.clip.model == "bundled" and embeds(run.config) else "",
        "This folder is a static Space as it is (`sdk: static`), which costs nothing to host.",
    ]
    if shown.withheld():
        parts.append(f"Pictures of {', '.join(shown.withheld())} are left out: nobody has said that they may be published.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _inline(text: str) -> str:
    """Text that Markdown takes for text."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-.!|<>&~" else letter for letter in text)
