"""The page around the sections: style, script, title, contents. No request ever leaves it, and its own policy forbids one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from plotly.offline import get_plotlyjs

from sae_core.figures import COLOURS, ON_DARK
from sae_core.publish.card import Run
from sae_core.publish.report.html import esc
from sae_core.publish.report.material import Material
from sae_core.publish.report.sections import SECTIONS, contents

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #4b5563; --line: #d1d5db; --paper: #ffffff; --shade: #f3f4f6;
  --link: #1b6ca8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a8b0bd; --line: #374151; --paper: #0e1117;
  --shade: #1a1f2b; --link: #7cb8ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .25rem; }
a { color: var(--link); }
p { max-width: 75ch; margin: .5rem 0; }
.lead, figcaption, caption, summary, .absent { color: var(--soft); }
nav ul { columns: 2; padding-left: 1.2rem; margin: .5rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .35rem; font-size: .9rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: min(100%, calc(100vw - 2rem)); }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom-width: 2px; }
tbody th { font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; }
figcaption { font-size: .9rem; }
pre { background: var(--shade); padding: .75rem; overflow-x: auto; font-size: .8rem; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
pre code { font-size: 1em; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0 0 0 1rem; max-width: 75ch; }
@media (max-width: 600px) { nav ul { columns: 1; } .plot { margin: 0 -.5rem; } }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #333; --line: #bbb; --paper: #fff; --shade: #f6f6f6; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  figure, tr, h2, h3 { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  thead { display: table-header-group; }
  .wide { overflow: visible; }
  table, caption { font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; }
  pre { white-space: pre-wrap; }
}
"""

SCRIPT = """
const dark = matchMedia('(prefers-color-scheme: dark)');
const family = 'system-ui, sans-serif';
function draw(night, width) {
  for (const plot of document.querySelectorAll('.plot')) {
    let text = plot.nextElementSibling.textContent;
    if (night) for (const [day, shade] of Object.entries(SHADES)) text = text.replaceAll(`"${day}"`, `"${shade}"`);
    const {data, layout} = JSON.parse(text);
    layout.font = {color: night ? '#e5e7eb' : '#1f2937', family};
    if (width) layout.width = width;
    Plotly.react(plot, data, layout, {responsive: !width, displaylogo: false, displayModeBar: false});
  }
}
draw(dark.matches);
dark.addEventListener('change', () => draw(dark.matches));
// Paper is white, a page is narrow, and what is folded away would be lost.
addEventListener('beforeprint', () => {
  for (const one of document.querySelectorAll('details')) one.open = true;
  draw(false, 640);
});
addEventListener('afterprint', () => draw(dark.matches));
"""


def report_html(run: Run, refused: Mapping[str, str] | None = None) -> str:
    """The report of a run as one HTML document, complete in itself: every number with its n, and its interval where it has one.

    Args:
        run: a `pipeline.Run` with whatever it has made; a section without its artifact says which command makes it.
        refused: by stage, why it could not be made for this data (a geometry without classes, say).

    Raises: DamagedArtifact when an artifact cannot be read.
    """
    material = Material(run, refused or {})
    found = [made for made in (make(material) for make in SECTIONS) if made]
    title = f"{run.config.name}: what a sparse autoencoder keeps of CLIP"
    shades = json.dumps({COLOURS[name]: colour for name, colour in ON_DARK.items()})
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{esc(title)}</title>\n<style>{STYLE}</style></head><body>",
        f"<header><h1>{esc(title)}</h1>",
        f'<p class="lead">Run <code>{esc(run.id)}</code>. Every interval is a 95 % interval; n is the number of images.</p>',
        "<noscript><p>The figures need JavaScript; the tables hold the same numbers without it.</p></noscript></header>",
        contents(found, "Contents"),
        "<main>",
        *found,
        "</main>",
        f"<script>{get_plotlyjs()}</script>",
        f"<script>const SHADES = {shades};{SCRIPT}</script>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"
