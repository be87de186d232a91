"""What a report tells, in order, and the list of it; the page and the site show the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sae_core.publish.report.about import provenance
from sae_core.publish.report.classes import by_class, confusions, flips
from sae_core.publish.report.costs import common_classes, cross_domain, recall, zero_shot
from sae_core.publish.report.definitions import definitions
from sae_core.publish.report.geometry import domain_shifts, geometry
from sae_core.publish.report.html import Markup, esc
from sae_core.publish.report.material import Material
from sae_core.publish.report.overall import names, sweep
from sae_core.publish.report.quality import quality

SECTIONS: tuple[Callable[[Material], Markup], ...] = (
    zero_shot,
    recall,
    cross_domain,
    common_classes,
    by_class,
    confusions,
    flips,
    quality,
    geometry,
    domain_shifts,
    sweep,
    names,
    definitions,
    provenance,
)


def contents(sections: Sequence[Markup], label: str) -> Markup:
    """A list of links to the sections."""
    # A section is <section id="x">, newline, <h2>title</h2>: both are ours, so this reading is exact.
    lines = []
    for one in sections:
        identity, title = one.split('"', 2)[1], one.split("<h2>", 1)[1].split("</h2>", 1)[0]
        lines.append(f'<li><a href="#{identity}">{title}</a></li>')
    return Markup(f'<nav aria-label="{esc(label)}"><ul>' + "".join(lines) + "</ul></nav>")
