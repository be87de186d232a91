"""Prompt templates and the zero-shot classifier they make: class names in, unit text directions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import InputError

SKETCH = (
    "a sketch of a {}",
    "a drawing of a {}",
    "a line drawing of a {}",
    "a doodle of a {}",
    "a black and white sketch of a {}",
    "a simple sketch of the {}",
    "{}",
)
PHOTO = (
    "a photo of a {}",
    "a picture of a {}",
    "a blurry photo of a {}",
    "a small photo of the {}",
    "a low resolution photo of a {}",
    "a photo of one {}",
    "{}",
)


class TextTower(Protocol):
    """Anything that turns texts into raw embeddings, such as `clip.Encoder`."""

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def template_sets() -> dict[str, tuple[str, ...]]:
    """Every named template set: `sketch`, `photo` and open_clip's 80 `openai_imagenet` ones, `{}` for the class name."""
    # Imported here: open_clip takes seconds, and pages read the sketch and photo sets without it.
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

    # open_clip keeps functions; called on "{}" they give the string form that a config can hold.
    return {"sketch": SKETCH, "photo": PHOTO, "openai_imagenet": tuple(t("{}") for t in OPENAI_IMAGENET_TEMPLATES)}


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """A set's name, or template strings, to template strings.

    Raises:
        InputError: an unknown set, no template at all, or a template without exactly one `{}`.
    """
    if isinstance(templates, str):
        if templates in ("sketch", "photo"):
            return SKETCH if templates == "sketch" else PHOTO
        sets = template_sets()
        if templates not in sets:
            raise InputError(f"no template set {templates!r}; there are {', '.join(sets)}, or give a list of templates with {{}}")
        return sets[templates]
    if not templates:
        raise InputError("an empty list of templates; give at least one, such as 'a sketch of a {}'")
    for template in templates:
        rest = template.replace("{}", "", 1)
        if "{}" not in template or "{" in rest or "}" in rest:
            raise InputError(f"template {template!r} must hold {{}} exactly once, for the class name")
    return tuple(templates)


def class_prompts(names: Sequence[str], templates: str | Sequence[str]) -> list[list[str]]:
    """Every template filled with every name: a list per class, in template order."""
    chosen = resolve_templates(templates)
    return [[template.replace("{}", name) for template in chosen] for name in names]


def class_directions(encoder: TextTower, names: Sequence[str], templates: str | Sequence[str]) -> NDArray[np.float32]:
    """Zero-shot weights: t_c = unit(mean over templates of unit(text(template(c)))).

    Args:
        encoder: the text tower.
        names: C class names.
        templates: a set's name or template strings.

    Returns:
        float32 [C, d], unit rows; a row is the direction whose cosine with an image scores the class.

    Raises:
        InputError: no class names, or bad templates.

    Source: Radford et al. 2021 (arXiv:2103.00020), section 3.1.4; equals open_clip's `build_zero_shot_classifier`, transposed.
    """
    if not names:
        raise InputError("no class names to build a zero-shot classifier from; give at least two")
    prompts = class_prompts(names, templates)
    flat = encoder.texts([text for row in prompts for text in row]).astype(np.float64)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    mean = unit.reshape(len(names), -1, unit.shape[1]).mean(axis=1)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)


def imagenet_class_names() -> tuple[str, ...]:
    """The 1,000 ImageNet class names CLIP is evaluated with, in the order of the sorted wnids."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return tuple(IMAGENET_CLASSNAMES)
