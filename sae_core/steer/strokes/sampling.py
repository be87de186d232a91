"""Drawing with the network: one curve after another, every attribute its likeliest choice."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sae_core.steer.strokes.model import Cache, StrokeModel
from sae_core.steer.strokes.tokens import ATTRIBUTES, BINS, CHOSEN, CLOSE, DOT, END, GO, LONGEST, NEW, PENS, Tokens

_PEN, _SIZE, _X0, _Y0, _X3, _Y3 = range(6)
_MIDDLE = BINS // 2


@torch.inference_mode()
def draw(model: StrokeModel, x: Tensor) -> Tokens:
    """The drawing of one embedding.

    Args:
        model: in evaluation, on the CPU.
        x: float32 [d].

    Returns: int64 [n, 10], ending with an end unless it is as long as can be.
    """
    condition = model.read(x[None])
    inputs = model.start[None]
    before = [DOT, *[_MIDDLE] * (len(ATTRIBUTES) - 1)]  # nothing is open yet, as after a dot
    first = [0, 0]
    cache: Cache = []
    rows: list[list[int]] = []
    for at in range(LONGEST):
        state, cache = model.step(condition, inputs, at, cache)
        before = _curve(model, state, before, first, at)
        rows.append(before)
        if before[_PEN] == END:
            break
        if before[_PEN] == NEW:
            first = before[_X0 : _Y0 + 1]
        inputs = model.embed(torch.tensor([before]))
    return np.array(rows, dtype=np.int64)


def _curve(model: StrokeModel, state: Tensor, before: list[int], first: list[int], at: int) -> list[int]:
    """The next curve's ten numbers, from the trunk's state [1, w], the curve before it and where its stroke started."""
    pen = int((model.attribute(_PEN, state)[0] + _allowed(before[_PEN], at)).argmax())
    curve = [pen]
    last = int(CHOSEN[pen].nonzero()[0][-1])
    for a in range(1, len(ATTRIBUTES)):
        if a <= last:  # what was chosen last bears on nothing more
            state = state + model.chosen(a - 1, torch.tensor(curve[-1:]))
        chosen = CHOSEN[pen, a]
        curve.append(int(model.attribute(a, state).argmax()) if chosen else _inherited(a, curve, before, first))
    return curve


def _allowed(pen: int, at: int) -> Tensor:
    """What the pen may do next, as 0 or -inf [5]: go on only from an open stroke, stop only once something is drawn."""
    penalty = torch.zeros(PENS)
    if pen not in (NEW, GO):
        penalty[GO] = penalty[CLOSE] = -torch.inf
    if at == 0:
        penalty[END] = -torch.inf
    return penalty


def _inherited(a: int, curve: list[int], before: list[int], first: list[int]) -> int:
    """The value of attribute a, put in the place of a choice where it follows from what stands before (see `CHOSEN`)."""
    pen = curve[_PEN]
    if pen in (GO, CLOSE):
        if a == _SIZE:
            return before[_SIZE]
        return before[a + 2] if a in (_X0, _Y0) else first[a - _X3]
    return curve[a - 2] if pen == DOT and a in (_X3, _Y3) else _MIDDLE
