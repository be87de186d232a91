"""Drawing from the network: one curve after another, from a fixed table of chance, so that like embeddings get like drawings."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from sae_core.steer.strokes.model import WIDEST, Cache, StrokeModel
from sae_core.steer.strokes.tokens import (
    ATTRIBUTES,
    BINS,
    CHOSEN,
    CLOSE,
    DOT,
    END,
    GO,
    LONGEST,
    NEW,
    PENS,
    Tokens,
)

_PEN, _SIZE, _X0, _Y0, _X3, _Y3 = range(6)


@functools.lru_cache(maxsize=4)
def chance(seed: int, candidates: int) -> Tensor:
    """Gumbel noise float32 [candidates, LONGEST, 10, choices]: the same table for every embedding drawn with this seed.

    The largest of logits / T + noise is a draw from softmax(logits / T); with the noise held fixed, a drawing changes only where
    the embedding's logits do.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    uniform = torch.rand((candidates, LONGEST, len(ATTRIBUTES), WIDEST), generator=generator)
    return -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))


@torch.inference_mode()
def draw(model: StrokeModel, x: Tensor, noise: Tensor, temperature: float) -> list[Tokens]:
    """As many drawings of one embedding as `noise` has candidates; the first takes the likeliest choice everywhere.

    Args:
        model: in evaluation, on the CPU.
        x: float32 [d].
        noise: from `chance`.
        temperature: of all candidates but the first.

    Returns: for each int64 [n, 10], ending with an end unless it is as long as can be.
    """
    count = len(noise)
    condition = model.read(x[None].expand(count, -1))
    heat = torch.full((count, 1), temperature)
    heat[0] = 0
    inputs = model.start.expand(count, -1)
    before = torch.full((count, len(ATTRIBUTES)), BINS // 2)
    before[:, _PEN] = DOT  # nothing is open yet, as after a dot
    first = torch.zeros((count, 2), dtype=torch.long)
    done = torch.zeros(count, dtype=torch.bool)
    cache: Cache = []
    rows: list[Tensor] = []
    for at in range(LONGEST):
        state, cache = model.step(condition, inputs, at, cache)
        curve = torch.full((count, len(ATTRIBUTES)), BINS // 2)
        for a in range(len(ATTRIBUTES)):
            value = torch.zeros(count, dtype=torch.long)
            free = CHOSEN[curve[:, _PEN].numpy(), a] if a != _PEN else CHOSEN[:, _PEN]
            if free.any():
                logits = model.attribute(a, state)
                if a == _PEN:
                    logits = logits + _allowed(before[:, _PEN], at)
                value = (logits + heat * noise[:, at, a, : logits.shape[1]]).argmax(dim=1)
            if not free.all():
                value = _inherited(a, value, curve, before, first)
            curve[:, a] = value
            state = state + model.chosen(a, value)
        curve[done, _PEN] = END
        done = done | (curve[:, _PEN] == END)
        rows.append(curve)
        if bool(done.all()):
            break
        starts = curve[:, _PEN] == NEW
        first = torch.where(starts[:, None], curve[:, _X0 : _Y0 + 1], first)
        before = curve
        inputs = model.embed(curve)
    drawn = torch.stack(rows, dim=1).numpy()
    return list(drawn)


def _allowed(pen: Tensor, at: int) -> Tensor:
    """What the pen may do next, as 0 or -inf [n, 5]: go on only from an open stroke, stop only once something is drawn."""
    penalty = torch.zeros((len(pen), PENS))
    closed = (pen != NEW) & (pen != GO)
    penalty[closed, GO] = penalty[closed, CLOSE] = -torch.inf
    if at == 0:
        penalty[:, END] = -torch.inf
    return penalty


def _inherited(a: int, value: Tensor, curve: Tensor, before: Tensor, first: Tensor) -> Tensor:
    """The value of attribute a, put in the place of a choice where it follows from what stands before (see `CHOSEN`)."""
    if a == _PEN:
        return value
    pen = curve[:, _PEN]
    onward = (pen == GO) | (pen == CLOSE)
    if a == _SIZE:
        return torch.where(onward, before[:, _SIZE], value)
    if a in (_X0, _Y0):
        return torch.where(onward, before[:, a + 2], value)
    if a in (_X3, _Y3):
        value = torch.where(pen == CLOSE, first[:, a - _X3], value)
        return torch.where(pen == DOT, curve[:, a - 2], value)
    return torch.where(pen == DOT, torch.full_like(value, BINS // 2), value)
