"""The report of a run within its site: the report's own tables, without the figures that need a library."""

from __future__ import annotations

import re

from sae_core.publish.licences import NOT_STATED, Licences
from sae_core.publish.report.classes import confusions
from sae_core.publish.report.html import Markup, esc, paragraph, section
from sae_core.publish.report.sections import SECTIONS
from sae_core.publish.site.material import Shown

# A figure is our own markup, and its data cannot hold a `<`: this reading is exact.
FIGURE = re.compile(r"<figure>.*?</figure>", re.DOTALL)
STYLED = re.compile(r' style="[^"]*"')


def report_sections(shown: Shown, licences: Licences) -> list[Markup]:
    """Every section of the report that the run has something for, but confusions, which are figures alone; then licences."""
    found = [Markup(FIGURE.sub("", made)) for made in (make(shown) for make in SECTIONS if make is not confusions) if made]
    return [*found, licence(shown, licences)]


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
