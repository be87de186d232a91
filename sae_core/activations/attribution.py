"""Where in a picture a latent looks: two approximations of it, and a check of both.

What is followed is the latent's pre-activation, s(x) = w_j · (x - mean) · scale + b_j: the activation itself is this number or 0,
and whether it is 0 depends on the other latents. The picture is cut into g x g cells; a hidden cell has the picture's paper
colour. Both maps are approximations: hiding makes pictures that CLIP never saw, and a gradient is true for small changes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sae_core.clip.encoder import Picture
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE

Method = Literal["occlusion", "gradient"]
CELL = 16
"""Pixels a cell is wide, where the picture is large enough; a small input is cut into FEWEST cells a side."""
FEWEST = 8
PATH = 32
"""Points between the sheet and the picture at which gradients are taken."""
BATCH = 64
CONTENT = 0.05
"""A cell has content when a pixel of it differs from the paper by this share of the picture's range."""


class PictureTower(Protocol):
    """What is needed of an encoder (`clip.Encoder` is one)."""

    def pixels(self, images: list[Picture]) -> Tensor:
        """The tower's input, float32 [n, 3, s, s]."""

    def forward_pixels(self, pixels: Tensor) -> Tensor:
        """Raw embeddings float32 [n, d], differentiable."""


@dataclass(frozen=True)
class Attribution:
    """A map over a picture's cells.

    Attributes:
        method: how it was made.
        cells: float32 [g, g], what each cell adds to the pre-activation (negative: what it takes away).
        value: pre-activation of the whole picture.
        blank: pre-activation of a sheet of its paper colour.
    """

    method: Method
    cells: NDArray[np.float32]
    value: float
    blank: float


@dataclass(frozen=True)
class Deletion:
    """The check: the latent as cells are hidden, those of the largest attribution first, against random orders.

    Attributes:
        hidden: float [s + 1], share of the cells with content that are hidden, 0 to 1.
        curve: float [s + 1], pre-activation on the way.
        random: float [r, s + 1], the same in random orders.
    """

    hidden: NDArray[np.float64]
    curve: NDArray[np.float64]
    random: NDArray[np.float64]

    @property
    def gain(self) -> float:
        """Mean area by which the curve runs below the random ones, as a share of the fall when all is hidden.

        Above 0: the map knows better than chance where the latent looks. NaN when hiding everything changes nothing.
        """
        fall = self.curve[0] - self.curve[-1]
        if fall == 0:
            return float("nan")
        return float(np.trapezoid(self.random.mean(0) - self.curve, self.hidden) / fall)

    @property
    def beaten(self) -> float:
        """Share of the random orders whose curve encloses more than the map's: 1 is as good as it gets."""
        own = np.trapezoid(self.curve, self.hidden)
        return float(np.mean(np.trapezoid(self.random, self.hidden, axis=1) > own))


class Look:
    """One picture and one latent.

    Args:
        tower: the CLIP that made the dictionary's embeddings.
        sae: the dictionary.
        picture: the picture.
        latent: whose attention is asked for.
        cells: cells a side; None: CELL pixels each, at least FEWEST.

    Raises: InputError for a latent that is not there, or more cells than pixels.
    """

    def __init__(self, tower: PictureTower, sae: SAE, picture: Picture, latent: int, cells: int | None = None) -> None:
        if not 0 <= latent < sae.m:
            raise InputError(f"no latent {latent}; this dictionary has latents 0 to {sae.m - 1}")
        self._tower, self._sae, self._latent = tower, sae, latent
        self._pixels = tower.pixels([picture])
        side = self._pixels.shape[-1]
        self.g = max(FEWEST, side // CELL) if cells is None else cells
        if not 1 <= self.g <= side:
            raise InputError(f"{self.g} cells a side do not fit a picture of {side} pixels; give 1 to {side}")
        self._paper = paper(self._pixels[0])
        self._range = float(self._pixels.max() - self._pixels.min())

    def occlusion(self) -> Attribution:
        """What is lost when a cell is hidden: s(x) - s(x without it), each cell hidden in a window twice its side.

        A window's loss is shared evenly by its cells, so that lines between two cells are not missed; g² + 1 passes.
        """
        windows = torch.zeros(self.g * self.g, self.g, self.g, dtype=torch.bool)
        for number in range(self.g * self.g):
            row, column = divmod(number, self.g)
            windows[number, row : row + 2, column : column + 2] = True
        whole, blank = self._ends()
        lost = whole - self._hidden(windows)
        size = windows.sum((1, 2), keepdim=True)
        shared = (windows * (lost.view(-1, 1, 1) / size)).sum(0) / windows.sum(0)
        return Attribution("occlusion", shared.float().numpy(), whole, blank)

    def gradient(self) -> Attribution:
        """Integrated gradients: gradient times (picture - paper), averaged on the way from the sheet to the picture.

        Summed in each cell; all cells together make up s(picture) - s(sheet), as far as PATH points stand for an integral.
        (SmoothGrad's gradient at the picture itself made up -0.4 of 26.4 on a drawn line: CLIP saturates.)
        Source: Sundararajan et al. 2017 (arXiv:1703.01365).
        """
        there = self._pixels[0] - self._paper
        along = ((torch.arange(PATH) + 0.5) / PATH).to(self._pixels).view(-1, 1, 1, 1)
        total = torch.zeros_like(there)
        for start in range(0, PATH, BATCH):
            inputs = (self._paper + along[start : start + BATCH] * there).requires_grad_(True)
            with torch.enable_grad():
                summed = self._score(self._tower.forward_pixels(inputs)).sum()
            total += torch.autograd.grad(summed, inputs)[0].sum(0)
        pixelwise = (total / PATH * there).sum(0)
        owner = self._owners().to(pixelwise.device)
        cells = torch.zeros(self.g * self.g, device=pixelwise.device).index_add_(0, owner.flatten(), pixelwise.flatten())
        whole, blank = self._ends()
        return Attribution("gradient", cells.view(self.g, self.g).cpu().float().numpy(), whole, blank)

    def deletion(self, found: Attribution, rng: np.random.Generator, steps: int = 10, orders: int = 20) -> Deletion:
        """Hide the cells with content in the map's order and in random ones; (orders + 1) x steps passes."""
        count = self.g * self.g
        # Hiding blank paper changes nothing. An order that wastes steps there would be no rival, and a map that spreads a
        # stroke's worth over the paper beside it would lose to any; a blank sheet has nothing but paper.
        content = np.flatnonzero(self.content().ravel())
        content = content if len(content) else np.arange(count)
        ranked = [content[np.argsort(-found.cells.ravel()[content], kind="stable")]]
        ranked += [rng.permutation(content) for _ in range(orders)]
        ends = np.round(np.linspace(0, len(content), steps + 1)).astype(int)
        masks = torch.zeros(len(ranked), steps, count, dtype=torch.bool)
        for number, order in enumerate(ranked):
            for step, end in enumerate(ends[1:]):
                masks[number, step, torch.from_numpy(order[:end])] = True
        values = self._hidden(masks.view(-1, self.g, self.g)).view(len(ranked), steps).double().numpy()
        curves = np.concatenate([np.full((len(ranked), 1), found.value), values], axis=1)
        return Deletion(ends / len(content), curves[0], curves[1:])

    def content(self) -> NDArray[np.bool_]:
        """Cells that hold anything but paper, bool [g, g]."""
        differs = ((self._pixels[0] - self._paper).abs().amax(0) > CONTENT * self._range).cpu()
        counts = torch.zeros(self.g * self.g).index_add_(0, self._owners().flatten(), differs.flatten().float())
        return (counts > 0).view(self.g, self.g).numpy()

    # ------------------------------------------------------------ parts

    def _score(self, x: Tensor) -> Tensor:
        return self._sae.pre_activation(x, self._latent)

    def _ends(self) -> tuple[float, float]:
        none, all_of_it = torch.zeros(1, self.g, self.g, dtype=torch.bool), torch.ones(1, self.g, self.g, dtype=torch.bool)
        whole, blank = self._hidden(torch.cat([none, all_of_it])).tolist()
        return whole, blank

    def _owners(self) -> Tensor:
        """Which cell each pixel belongs to, int64 [s, s]."""
        place = torch.arange(self._pixels.shape[-1]) * self.g // self._pixels.shape[-1]
        return place.view(-1, 1) * self.g + place

    def _hidden(self, masks: Tensor) -> Tensor:
        """Pre-activations of the picture with cells hidden, [b], for masks bool [b, g, g]."""
        owner = self._owners()
        found = []
        with torch.no_grad():
            for start in range(0, len(masks), BATCH):
                cover = masks[start : start + BATCH].flatten(1)[:, owner].unsqueeze(1).to(self._pixels.device)
                found.append(self._score(self._tower.forward_pixels(torch.where(cover, self._paper, self._pixels))).cpu())
        return torch.cat(found)


def paper(pixels: Tensor) -> Tensor:
    """The colour of a picture's border, its median, [3, 1, 1]: white paper of a sketch, the commonest surrounding of a photo."""
    border = torch.cat([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], dim=1)
    return border.median(dim=1).values.view(-1, 1, 1)


def upsampled(found: Attribution, side: int) -> NDArray[np.float32]:
    """A map's cells as pixels, float32 [side, side], bilinear: for laying it over the picture."""
    cells = torch.from_numpy(found.cells)[None, None]
    return F.interpolate(cells, size=(side, side), mode="bilinear", align_corners=False)[0, 0].numpy()
