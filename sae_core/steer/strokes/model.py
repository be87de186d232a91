"""The stroke decoder's network: a causal transformer over a drawing's curves, and a head that chooses a curve's ten numbers.

One step of the trunk is one cubic curve, so a drawing takes some fifteen of them. Within a curve the attributes are chosen one
after another: attribute a's logits are a small network's of the trunk's state and the sum of the embeddings of the curve's
earlier attributes, p(curve) = Π_a p(a | state, earlier ones). A mean of two plausible drawings has no place in this: every number
is a choice, so what is drawn is sharp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae_core.steer.strokes.tokens import ATTRIBUTES, BINS, CHOSEN, LONGEST, VOCABULARY

WIDEST = max(VOCABULARY)
_OFFSETS = tuple(sum(VOCABULARY[:a]) for a in range(len(VOCABULARY)))


@dataclass(frozen=True)
class Shape:
    """The network's sizes."""

    dim: int = 128
    width: int = 128
    layers: int = 3
    heads: int = 4


Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of a layer, [b, h, n, c] each."""


class Block(nn.Module):
    """Causal self-attention and a feed-forward, both pre-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [b, n, w] after `past`; with a past, n is 1."""
        b, n, w = x.shape
        q, k, v = self.qkv(self.before(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, w))
        return x + self.down(F.gelu(self.up(self.after(x)))), (k, v)


class StrokeModel(nn.Module):
    """Embedding in, the curves' distribution out; only the embedding's direction is read, as CLIP itself compares directions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        w, n = shape.width, len(ATTRIBUTES)
        self.register_buffer("mean", torch.zeros(shape.dim))
        self.register_buffer("spread", torch.ones(()))
        self.condition = nn.Sequential(nn.Linear(shape.dim, 2 * w), nn.GELU(), nn.Linear(2 * w, w))
        self.start = nn.Parameter(torch.zeros(w))
        self.choice = nn.Embedding(sum(VOCABULARY), w)
        self.value = nn.Linear(3 * (n - 2), w)
        self.place = nn.Parameter(torch.zeros(LONGEST + 1, w))
        self.blocks = nn.ModuleList(Block(w, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(w)
        self.hidden = nn.Parameter(torch.empty(n, w, w))
        self.hidden_bias = nn.Parameter(torch.zeros(n, w))
        self.logits = nn.Parameter(torch.empty(n, w, WIDEST))
        self.logits_bias = nn.Parameter(torch.zeros(n, WIDEST))
        self.mean: Tensor
        self.spread: Tensor
        for matrix, gain in ((self.hidden, 1.0), (self.logits, 0.5)):
            nn.init.normal_(matrix, std=gain / math.sqrt(w))
        nn.init.normal_(self.choice.weight, std=0.3)
        nn.init.normal_(self.place, std=0.05)
        for block in self.blocks:
            assert isinstance(block, Block)
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.5 / math.sqrt(layer.in_features * shape.layers))

    @property
    def parameters_count(self) -> int:
        """How many numbers are learned."""
        return sum(p.numel() for p in self.parameters())

    def read(self, x: Tensor) -> Tensor:
        """Embeddings [b, d] as the network's condition [b, w]."""
        rows: Tensor = self.condition((F.normalize(x, dim=-1) - self.mean) / self.spread)
        return rows

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens [..., 10] as the trunk's input [..., w]: each choice's own vector, and the numbers themselves as numbers."""
        offsets = torch.tensor(_OFFSETS, device=tokens.device)
        flat = (tokens + offsets).view(-1, len(ATTRIBUTES))
        summed = F.embedding_bag(flat, self.choice.weight, mode="sum").view(*tokens.shape[:-1], -1)
        numbers = (tokens[..., 2:].to(summed.dtype) + 0.5) / BINS * (2 * math.pi)
        rows: Tensor = summed + self.value(torch.cat([numbers - math.pi, numbers.sin(), numbers.cos()], dim=-1))
        return rows

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The trunk's states [b, n + 1, w] before each of the curves `tokens` [b, n, 10] and after the last, given x [b, d]."""
        condition = self.read(x)[:, None]
        inputs = torch.cat([self.start.expand(len(x), 1, -1), self.embed(tokens)], dim=1)
        rows = inputs + self.place[: inputs.shape[1]] + condition
        for block in self.blocks:
            rows, _ = block(rows)
        states: Tensor = self.norm(rows) + condition
        return states

    def step(self, condition: Tensor, inputs: Tensor, at: int, cache: Cache) -> tuple[Tensor, Cache]:
        """One step of `forward`, from the condition [b, w] and one curve's input [b, w], with what the steps before left."""
        rows = (inputs + self.place[at] + condition)[:, None]
        kept: Cache = []
        for i, block in enumerate(self.blocks):
            rows, pair = block(rows, cache[i] if cache else None)
            kept.append(pair)
        return self.norm(rows)[:, 0] + condition, kept

    def attribute(self, a: int, state: Tensor) -> Tensor:
        """Logits [n, choices] of attribute a from the state [n, w], to which the earlier choices' vectors are added."""
        hidden = F.gelu(torch.addmm(self.hidden_bias[a], state, self.hidden[a]))
        size = VOCABULARY[a]
        return torch.addmm(self.logits_bias[a, :size], hidden, self.logits[a, :, :size])

    def chosen(self, a: int, values: Tensor) -> Tensor:
        """The vectors [n, w] of attribute a's values [n]."""
        return F.embedding(values + _OFFSETS[a], self.choice.weight)

    def loss(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mean negative log-likelihood of a drawing's curves, in nats a curve, and its parts by attribute.

        Args:
            x: float32 [b, d] embeddings.
            tokens: int64 [b, n, 10], rows padded at the end with whatever (a pen of END).
            lengths: int64 [b], curves of each row; what follows is the end, which is learned once.

        Returns: a scalar, and float32 [10] that sum to it.
        """
        states = self(x, tokens)
        ended = F.pad(tokens, (0, 0, 0, 1))
        real = torch.arange(states.shape[1], device=x.device) <= lengths[:, None]
        state, target = states[real], ended[real]
        learned = torch.from_numpy(CHOSEN).to(x.device)[target[:, 0]]
        parts = []
        for a in range(len(ATTRIBUTES)):
            rows = learned[:, a]
            logits = self.attribute(a, state[rows])
            parts.append(F.cross_entropy(logits, target[rows, a], reduction="sum") / len(state))
            state = state + self.chosen(a, target[:, a])
        by_attribute = torch.stack(parts)
        return by_attribute.sum(), by_attribute.detach()
