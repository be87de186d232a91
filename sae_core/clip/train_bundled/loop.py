"""Training the bundled demo model: configuration, steps, averaged weights, and the saved open_clip folder."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save as to_bytes
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from sae_core.clip.train_bundled import texts
from sae_core.clip.train_bundled.loss import both_ways, multi_positive, spread
from sae_core.clip.train_bundled.pool import MEAN, STD, Batch, Pool, cosine_with_warmup, draw_pool, sample, train_seed
from sae_core.clip.train_bundled.vocabulary import small_merges, write_merges
from sae_core.data import drawn
from sae_core.progress import Event, Report
from sae_core.store import write_atomic


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the weights."""

    steps: int = 600
    batch_size: int = 256
    scenes: int = 10_000
    primitives: int = 1_400
    seed: int = 0
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.99
    text_steps: int = 60
    settle_steps: int = 40
    instance_texts: int = 32
    phrase_texts: int = 48
    phrase_weight: float = 1.0
    instance_weight: float = 0.5
    spread_weight: float = 10.0
    frequent_merges: int = 3000
    embed_dim: int = 128
    image_size: int = 64
    image_layers: tuple[int, int, int, int] = (1, 2, 2, 1)
    image_width: int = 24
    context_length: int = 32
    text_width: int = 128
    text_layers: int = 3


def write_model_files(folder: Path, recipe: Recipe, captions: list[str]) -> dict[str, Any]:
    """Write the merges and `open_clip_config.json`; returns the model's config."""
    words = texts.vocabulary_words(drawn.CLASSES, captions)
    vocabulary = write_merges(folder / "bpe.txt.gz", small_merges(sorted(words), recipe.frequent_merges))
    config = {
        "embed_dim": recipe.embed_dim,
        "vision_cfg": {"image_size": recipe.image_size, "layers": list(recipe.image_layers), "width": recipe.image_width},
        "text_cfg": {
            "context_length": recipe.context_length,
            "vocab_size": vocabulary,
            "width": recipe.text_width,
            "heads": recipe.text_width // 32,
            "layers": recipe.text_layers,
            # Named so that plain open_clip fails at once, and not with wrong tokens, when it is not told where the file is.
            "tokenizer_kwargs": {"bpe_path": "bpe.txt.gz"},
        },
    }
    # Squash, not centre crop: nothing of a drawing may be cut off.
    preprocess = {"mean": [MEAN] * 3, "std": [STD] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")
    return config


def build(folder: Path, seed: int) -> tuple[Any, Any]:
    """The model with fresh weights, and its tokenizer, through open_clip's own door."""
    import open_clip

    # open_clip initialises from the global generator; the fork keeps the seed from leaking out of here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    return model, open_clip.get_tokenizer(f"local-dir:{folder}", bpe_path=str(folder / "bpe.txt.gz"))


def train(folder: Path, recipe: Recipe, device: torch.device, report: Report, minutes: float | None = None) -> tuple[int, float]:
    """Train and write the open_clip folder; returns the steps made and the seconds they took.

    Args:
        folder: where the model's files go.
        recipe: what to train; the same recipe on the same machine gives the same weights.
        device: the CPU or a CUDA device; both use bf16 autocast.
        report: told every 20 steps; may raise Cancelled.
        minutes: when given, `recipe.steps` is replaced by what fits into these minutes, drawing included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    seed = train_seed(recipe.seed)
    pools = [draw_pool(recipe.scenes, seed, rendering, device, recipe.primitives) for rendering in drawn.RENDERINGS]
    write_model_files(folder, recipe, [caption for pool in pools for caption in pool.captions])
    model, tokenize = build(folder, recipe.seed)
    model = model.to(device).to(memory_format=torch.channels_last).train()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98), fused=True)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))  # type: ignore[no-untyped-call]
    rng = np.random.default_rng([seed, 1])
    templates = texts.class_templates()
    _warm_text(model, tokenize, recipe, templates, rng, device)
    step_loss = functools.partial(_loss, model, tokenize, recipe=recipe, templates=templates, device=device)
    steps = recipe.steps
    if minutes is not None:
        left = minutes * 60 - (time.monotonic() - started)
        steps = max(1, int(left / _seconds_a_step(step_loss, pools, recipe)))
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * cosine_with_warmup(step - 1, steps)
        loss, metrics = step_loss(sample(pools, recipe.batch_size, recipe.image_size, rng), rng=rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        metrics["norm"] = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, float(np.log(100)))
        average.update_parameters(model)
        if step % 20 == 0 or step == steps:
            report(Event("train_bundled", step, steps, metrics))
    _settle(average.module, pools, recipe, rng)
    save(average.module, folder)
    return steps, time.monotonic() - started


def _warm_text(
    model: Any, tokenize: Any, recipe: Recipe, templates: tuple[str, ...], rng: np.random.Generator, device: torch.device
) -> None:
    """Teach the text tower to tell classes and primitives apart, in whatever words, before any image is seen.

    Fresh text towers map all captions to nearly one direction (cosine about 0.99), and the image tower then has nothing to aim
    at for hundreds of steps. Names against names in other words, the same contrast as later, part them within seconds.
    """
    parameters = [p for name, p in model.named_parameters() if not name.startswith("visual.") and name != "logit_scale"]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True)
    same = torch.eye(len(drawn.CLASSES) + len(drawn.PRIMITIVES), device=device)
    for step in range(recipe.text_steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * cosine_with_warmup(step, recipe.text_steps, 0.3)
        tokens = tokenize([*_names(templates, rng), *_names(templates, rng)]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            text = encode_text(model, tokens)
        unit = F.normalize(text.float(), dim=1)
        logits = model.logit_scale.detach().exp() * unit[: len(same)] @ unit[len(same) :].T
        crowding = spread(text.float(), torch.arange(len(same), device=device).repeat(2))
        optimizer.zero_grad()
        (both_ways(logits, same) + recipe.spread_weight * crowding).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def _names(templates: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    """A text for every class, all in one template, and one for every primitive."""
    template = templates[int(rng.integers(len(templates)))]
    return [*(template.replace("{}", name) for name in drawn.CLASSES), *texts.primitive_names(drawn.PRIMITIVES, rng)]


def encode_text(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """`model.encode_text` without the padding behind the longest text: attention is causal, so the numbers are the same."""
    length = int((tokens != 0).sum(dim=1).max())
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=1)]
    rows: torch.Tensor = x @ model.text_projection
    return rows


def _seconds_a_step(
    step_loss: Callable[..., tuple[torch.Tensor, Any]], pools: list[Pool], recipe: Recipe, tries: int = 5
) -> float:
    """How long a step takes, from gradients that are thrown away, so that `--minutes` trains as `--steps` would."""
    rng = np.random.default_rng(0)
    started = time.monotonic()
    for _ in range(tries):
        step_loss(sample(pools, recipe.batch_size, recipe.image_size, rng), rng=rng)[0].backward()  # type: ignore[no-untyped-call]
    return (time.monotonic() - started) / tries


def _loss(
    model: Any,
    tokenize: Any,
    batch: Batch,
    recipe: Recipe,
    templates: tuple[str, ...],
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Three contrasts of one batch (with all classes' names, phrases about primitives, its own captions), and the spread."""
    class_texts = _names(templates, rng)
    phrases = texts.phrases(recipe.phrase_texts, drawn.PRIMITIVES, drawn.RENDERINGS, rng)
    chosen = rng.permutation(len(batch.captions))[: recipe.instance_texts]
    captions = sorted({batch.captions[i] for i in chosen})
    tokens = tokenize([*class_texts, *(phrase.text for phrase in phrases), *captions]).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        image = model.encode_image(batch.pixels)
        text = encode_text(model, tokens)
    logits = model.logit_scale.exp() * F.normalize(image.float(), dim=1) @ F.normalize(text.float(), dim=1).T
    a, b = len(class_texts), len(class_texts) + len(phrases)

    labels = torch.from_numpy(batch.labels).to(device)
    of_class = F.one_hot(labels, len(class_texts)).float()
    by_phrase = np.stack([phrase.weight(batch.counts, batch.renderings) for phrase in phrases], axis=1)
    same = np.array([[own == caption for caption in captions] for own in batch.captions], dtype=np.float32)
    class_loss = both_ways(logits[:, :a], of_class)
    # Phrases only pull texts to images: how many of the phrases at hand are true of an image says nothing about it.
    phrase_loss = multi_positive(logits[:, a:b].T, torch.from_numpy(by_phrase).to(device).T)
    instance_loss = both_ways(logits[:, b:], torch.from_numpy(same).to(device))
    crowding = spread(image.float(), labels) + spread(text[:a].float(), torch.arange(a, device=device))
    contrast = class_loss + recipe.phrase_weight * phrase_loss + recipe.instance_weight * instance_loss
    loss = contrast + recipe.spread_weight * crowding
    accuracy = (logits[:, :a].argmax(dim=1) == labels).float().mean()
    named = {
        "loss": loss,
        "class": class_loss,
        "phrase": phrase_loss,
        "instance": instance_loss,
        "spread": crowding,
        "accuracy": accuracy,
    }
    return loss, {name: float(value.detach()) for name, value in named.items()}


def _settle(model: Any, pools: list[Pool], recipe: Recipe, rng: np.random.Generator) -> None:
    """Measure the averaged weights' own batch-norm statistics, on images as they will come: not augmented."""
    batches = (
        sample(pools, recipe.batch_size, recipe.image_size, rng, augmented=False).pixels for _ in range(recipe.settle_steps)
    )
    update_bn(batches, model.visual)


def save(model: Any, folder: Path) -> None:
    """Write `open_clip_model.safetensors`: weights as fp16, statistics of batch norms as fp32."""
    parameters = dict(model.named_parameters())
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    stored = {name: tensor.half() if name in parameters else tensor for name, tensor in state.items()}
    write_atomic(folder / "open_clip_model.safetensors", to_bytes(stored))
