"""The report of a run within its site: the report's own tables, without the figures that need a library."""

from __future__ import annotations

import re

from sae_core.publish.licences import NOT_STATED, Licences
from sae_core.publish.report.about import provenance
from sae_core.publish.report.classes import by_class, flips
from sae_core.publish.report.costs import common_classes, cross_domain, recall, zero_shot
from sae_core.publish.report.definitions import definitions
from sae_core.publish.report.geometry import domain_shifts, geometry
from sae_core.publish.report.html import Markup, esc, paragraph, section
from sae_core.publish.report.overall import names, sweep
from sae_core.publish.report.quality import quality
from sae_core.publish.site.material import Shown

SECTIONS = (
    zero_shot,
    recall,
    cross_domain,
    common_classes,
    by_class,
    flips,
    quality,
    geometry,
    domain_shifts,
    sweep,
    names,
    definitions,
    provenance,
)
# A figure is our own markup, and its data cannot hold a `<`: this reading is exact.
FIGURE = re.compile(r"<figure>.*?</figure>", re.DOTALL)
STYLED = re.compile(r' style="[^"]*"')


def report_sections(shown: Shown, licences: Licences) -> list[Markup]:
    """Every section of the report that the run has something for, then what may be done with the pictures."""
    found = [Markup(FIGURE.sub("", made)) for made in (make(shown) for make in SECTIONS) if made]
    return [*found, licence(shown, licences)]


def contents(sections: list[Markup]) -> Markup:
    """A list of links to the sections."""
    # A section is <section id="x">, newline, <h2>title</h2>: both are ours, so this reading is exact.
    lines = []
    for one in sections:
        identity, title = one.split('"', 2)[1], one.split("<h2>", 1)[1].split("</h2>", 1)[0]
        lines.append(f'<li><a href="#{identity}">{title}</a></li>')
    return Markup('<nav aria-label="Contents of the report"><ul>' + "".join(lines) + "</ul></nav>")


def licence(shown: Shown, licences: Licences) -> Markup:
    """Whose the pictures and the numbers are."""
    parts = []
    for name, manifest in shown.manifests.items():
        if name in shown.withheld():
            said = "not shown here, since nobody has said that they may be published"
        elif not shown.shows(name):
            said = "not part of this run, which was given their embeddings only"
        else:
            said = "shown here small" if manifest.kind == "drawn" else "shown here small, as whoever wrote this site allowed"
        of = licences.of(shown.run.config, name) or NOT_STATED
        parts.append(Markup(f"<li>Pictures of <strong>{esc(name)}</strong>: {esc(said)}. Licence: {esc(of)}.</li>"))
    own = f"The dictionary and the tables here: {licences.dictionary or NOT_STATED}."
    return section(
        "licence", "Pictures and licence", Markup("<ul>" + "".join(parts) + "</ul>"), paragraph(own), paragraph(_names(shown))
    )


def _names(shown: Shown) -> str:
    if shown.names is None:
        return "No latent has been named."
    return "Names were given by a model and tested on held-out images; a score says how well, and no score is a proof."
