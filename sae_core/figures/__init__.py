"""Figures from arrays and frames alone: plotly for screens, Pillow for files. No figure reads an artifact or knows a page.

Colours keep one meaning everywhere: blue is a sketch domain, orange a photo domain, dark grey CLIP, violet the dictionary
(CLIP+SAE), light grey a control. Backgrounds are transparent and text keeps the colour of the theme around it, so that every
figure reads on light and on dark; legends stand below and titles are short, so that nothing is cut on a phone (340 px).
"""

from sae_core.figures.accuracy import class_deltas, conditions_table, confusion, controls_bars
from sae_core.figures.charts import (
    accuracy_bars,
    histogram_by_domain,
    label_curves,
    probability_bars,
    training_curves,
)
from sae_core.figures.class_scores import class_dots
from sae_core.figures.directions import directions_map
from sae_core.figures.front import pareto
from sae_core.figures.geometry import geometry_map, shift_map, verdict_shares
from sae_core.figures.looks import attribution_map, deletion_curves
from sae_core.figures.quality import firing_spectrum, l0_histogram, sparse_probe_lines
from sae_core.figures.sheet import image_grid
from sae_core.figures.style import (
    ARCHITECTURES,
    CLIP,
    COLOURS,
    CONDITIONS,
    CONTROL,
    CONTROLS,
    ON_DARK,
    PHOTO,
    SAE,
    SKETCH,
    VERDICTS,
    domain_colours,
)

__all__ = [
    "ARCHITECTURES",
    "CLIP",
    "COLOURS",
    "CONDITIONS",
    "CONTROL",
    "CONTROLS",
    "ON_DARK",
    "PHOTO",
    "SAE",
    "SKETCH",
    "VERDICTS",
    "accuracy_bars",
    "attribution_map",
    "class_deltas",
    "class_dots",
    "conditions_table",
    "confusion",
    "controls_bars",
    "deletion_curves",
    "directions_map",
    "domain_colours",
    "firing_spectrum",
    "geometry_map",
    "histogram_by_domain",
    "image_grid",
    "l0_histogram",
    "label_curves",
    "pareto",
    "probability_bars",
    "shift_map",
    "sparse_probe_lines",
    "training_curves",
    "verdict_shares",
]
