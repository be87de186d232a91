"""Figures from arrays and frames alone: plotly for screens, Pillow for files. No figure reads an artifact or knows a page.

Colours keep one meaning everywhere: blue is a sketch domain, orange a photo domain, dark grey CLIP, violet the dictionary
(CLIP+SAE), light grey a control. Backgrounds are transparent and text keeps the colour of the theme around it, so that every
figure reads on light and on dark; legends stand below and titles are short, so that nothing is cut on a phone (340 px).
"""

from sae_core.figures.charts import (
    accuracy_bars,
    delta_by_class,
    domain_shift,
    histogram_by_domain,
    label_curves,
    probability_bars,
    training_curves,
)
from sae_core.figures.front import pareto
from sae_core.figures.sheet import image_grid
from sae_core.figures.style import ARCHITECTURES, CLIP, COLOURS, CONDITIONS, CONTROL, PHOTO, SAE, SKETCH, domain_colours

__all__ = [
    "ARCHITECTURES",
    "CLIP",
    "COLOURS",
    "CONDITIONS",
    "CONTROL",
    "PHOTO",
    "SAE",
    "SKETCH",
    "accuracy_bars",
    "delta_by_class",
    "domain_colours",
    "domain_shift",
    "histogram_by_domain",
    "image_grid",
    "label_curves",
    "pareto",
    "probability_bars",
    "training_curves",
]
