"""What a recipe does: the pure function that carries its edits of a code into CLIP's space.

    x' = p⁻¹(p(x) + Σ_j (v_j - z_j) D_j) = x + Σ_j (v_j - z_j) decoder_raw_j

z is the code of x, v what the edits make of it, p the dictionary's input scaling, decoder_raw the decoder in raw units. As the
decoder is linear this equals decode(z') plus the reconstruction error of x, so what the dictionary cannot express is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sae_core.config import Edit
from sae_core.config import Recipe as Recipe
from sae_core.errors import InputError
from sae_core.steer.recipes import read_recipe as read_recipe

ROWS = 4096
STRONG = 4.0
"""Multiples of a latent's maximum above which an edit leaves everything the model has seen."""


class Dictionary(Protocol):
    """What steering needs of a dictionary; `sae.SAE` is one."""

    @property
    def d(self) -> int: ...
    @property
    def m(self) -> int: ...
    @property
    def encoder_id(self) -> str | None: ...
    @property
    def sha256(self) -> str: ...
    @property
    def decoder_raw(self) -> Any: ...
    def encode(self, x: Any) -> Any: ...
    def __call__(self, x: Any) -> Any: ...


# ---------------------------------------------------------------- checks


def resolve(edits: Sequence[Edit]) -> tuple[tuple[Edit, ...], list[str]]:
    """One edit a latent, the last one given, in the order of the latents' first mention; and a line for each edit dropped."""
    last: dict[int, Edit] = {}
    notes = []
    for edit in edits:
        if edit.latent in last:
            before = last[edit.latent]
            notes.append(
                f"latent {edit.latent} is edited twice: {edit.op} {edit.value:g} counts, {before.op} {before.value:g} does not"
            )
        last[edit.latent] = edit
    return tuple(last.values()), notes


def advice(recipe: Recipe, maxima: Mapping[int, float] | None = None) -> list[str]:
    """What a user should know of a recipe that is valid: edits dropped, strengths beyond what the model has seen."""
    edits, notes = resolve(recipe.edits)
    known = {**recipe.maxima, **(maxima or {})}
    for edit in edits:
        times = edit.value if edit.op == "clamp" else edit.value / known[edit.latent] if known.get(edit.latent) else 0.0
        if edit.op != "ablate" and abs(times) > STRONG:
            notes.append(
                f"latent {edit.latent} is set to {times:.3g} times its maximum; above {STRONG:g} the embedding is like none seen"
            )
        if edit.op in ("set", "clamp") and edit.value < 0:
            notes.append(f"latent {edit.latent} is set below 0, which no image does")
    return notes


def check(recipe: Recipe, sae: Dictionary, maxima: NDArray[np.floating] | None = None) -> None:
    """Refuse a recipe that does not go with this dictionary.

    Raises:
        InputError: another dictionary or encoder, a latent out of range, a dead latent (where `maxima` say so).
    """
    if recipe.encoder is not None and sae.encoder_id is not None and recipe.encoder != sae.encoder_id:
        raise InputError(
            f"the recipe edits embeddings of {recipe.encoder}, the dictionary's are of {sae.encoder_id}; they do not go together"
        )
    if recipe.sae is not None and recipe.sae != sae.sha256:
        raise InputError(
            f"the recipe is for dictionary {recipe.sae[:12]}, this is {sae.sha256[:12]}; load that one, here its latents differ"
        )
    if maxima is not None and maxima.shape != (sae.m,):
        raise InputError(f"maxima have shape {list(maxima.shape)}; give one for each of the {sae.m} latents")
    for edit in recipe.edits:
        if edit.latent >= sae.m:
            raise InputError(f"recipe edits latent {edit.latent}; this dictionary has latents 0 to {sae.m - 1}")
        highest = recipe.maxima.get(edit.latent) if maxima is None else float(maxima[edit.latent])
        if highest is not None and not highest > 0:
            raise InputError(f"latent {edit.latent} is dead: it fires on no image, so steering it means nothing; choose another")


def checked_rows(x: NDArray[np.floating], d: int) -> NDArray[np.float32]:
    """Embeddings as float32 [n, d].

    Raises:
        InputError: another shape, NaN or infinity, a zero row (it has no direction); the row is named.
    """
    rows = np.asarray(x, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != d:
        raise InputError(f"embeddings have shape {list(rows.shape)}; this dictionary takes [n, {d}]")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(f"embedding row {bad[0]} holds NaN or infinity; remove it")
    zero = np.flatnonzero(~rows.any(axis=1))
    if len(zero):
        raise InputError(f"embedding row {zero[0]} is the zero vector, which has no direction; remove it")
    return rows


# ---------------------------------------------------------------- application


def codes(x: NDArray[np.float32], sae: Dictionary, latents: NDArray[np.int64]) -> NDArray[np.float32]:
    """Activations of some latents, float32 [n, e]; dense codes exist for at most 4,096 rows at a time."""
    parts = [np.asarray(sae.encode(x[start : start + ROWS]))[:, latents] for start in range(0, len(x), ROWS)]
    return np.concatenate([np.empty((0, len(latents)), dtype=np.float32), *parts]).astype(np.float32, copy=False)


def targets(z: NDArray[np.float32], edits: Sequence[Edit], maxima: NDArray[np.floating]) -> NDArray[np.float32]:
    """What the edits make of the edited latents' activations: set c, z + α, 0, or κ times the maximum.

    Args:
        z: float32 [n, e], a column an edit.
        edits: e of them.
        maxima: float [e], each edited latent's maximum.

    Returns: float32 [n, e].
    """
    out = np.empty_like(z)
    for i, edit in enumerate(edits):
        match edit.op:
            case "set":
                out[:, i] = edit.value
            case "add":
                out[:, i] = z[:, i] + np.float32(edit.value)
            case "ablate":
                out[:, i] = 0
            case "clamp":
                out[:, i] = edit.value * maxima[i]
    return out


def apply(
    x: NDArray[np.floating], recipe: Recipe, sae: Dictionary, maxima: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Steer embeddings: x' as the module's formula says. Pure: the same arguments give the same bits.

    TopK does not select again after editing: edited latents are added to those that fired.

    Args:
        x: float32 [n, d] raw embeddings.
        recipe: the edits; an empty one that keeps the error returns x bit for bit.
        sae: the dictionary.
        maxima: float [m], each latent's largest activation on training images, the unit of `clamp`; None takes the recipe's.

    Returns: float32 [n, d] raw embeddings.

    Raises:
        InputError: whatever `check` and `checked_rows` refuse; a clamp of a latent whose maximum is not known.
    """
    rows = checked_rows(x, sae.d)
    check(recipe, sae, maxima)
    edits, _ = resolve(recipe.edits)
    if not edits and recipe.keep_error:
        return rows.copy()
    base = rows if recipe.keep_error else np.asarray(sae(rows), dtype=np.float32)
    steered = base
    if edits:
        latents = np.array([edit.latent for edit in edits], dtype=np.int64)
        z = codes(rows, sae, latents)
        wanted = targets(z, edits, _units(edits, recipe, maxima))
        steered = np.asarray(base + (wanted - z) @ np.asarray(sae.decoder_raw, dtype=np.float32)[latents], dtype=np.float32)
    return rescaled(steered, rows) if recipe.renormalise else steered


def rescaled(x: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of x scaled to the norms of the rows of `like`; a zero row stays zero."""
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    wanted = np.linalg.norm(like, axis=-1, keepdims=True)
    ratio = np.divide(wanted, norms, out=np.zeros(np.broadcast_shapes(wanted.shape, norms.shape), np.float32), where=norms > 0)
    return np.asarray(x * ratio, dtype=np.float32)


def _units(edits: Sequence[Edit], recipe: Recipe, maxima: NDArray[np.floating] | None) -> NDArray[np.float64]:
    units = np.zeros(len(edits))
    for i, edit in enumerate(edits):
        known = recipe.maxima.get(edit.latent) if maxima is None else float(maxima[edit.latent])
        if known is None and edit.op == "clamp":
            raise InputError(f"clamp of latent {edit.latent} needs its maximum; give maxima (activations.maxima) or use op set")
        units[i] = known or 0.0
    return units


def steer(
    x: NDArray[np.floating], recipe: Recipe, sae: Dictionary, maxima: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Steer embeddings from a notebook: `apply`, with warnings said and maxima found where none are given.

    Args:
        x: float32 [n, d] raw embeddings.
        recipe: the edits.
        sae: the dictionary.
        maxima: float [m], such as `activations.maxima`; None takes the recipe's, and for clamped latents that it lacks the
            largest activation over the rows of x.

    Returns: float32 [n, d].

    Raises:
        InputError: see `apply`; a clamped latent that fires on no row of x and has no maximum otherwise.
    """
    if maxima is None:
        recipe = _with_maxima(checked_rows(x, sae.d), recipe, sae)
    for note in advice(recipe):
        warnings.warn(note, stacklevel=2)
    return apply(x, recipe, sae, maxima)


def _with_maxima(x: NDArray[np.float32], recipe: Recipe, sae: Dictionary) -> Recipe:
    check(recipe, sae)
    edits, _ = resolve(recipe.edits)
    missing = [edit.latent for edit in edits if edit.op == "clamp" and edit.latent not in recipe.maxima]
    if not missing:
        return recipe
    highest = codes(x, sae, np.array(missing, dtype=np.int64)).max(axis=0, initial=0)
    for latent, value in zip(missing, highest, strict=True):
        if not value > 0:
            raise InputError(f"latent {latent} fires on no row of x, so clamp has no unit; give maxima (activations.maxima)")
    found = {latent: float(value) for latent, value in zip(missing, highest, strict=True)}
    return recipe.model_copy(update={"maxima": {**recipe.maxima, **found}})
