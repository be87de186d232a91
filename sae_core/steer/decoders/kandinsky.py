"""Kandinsky 2.2: from embeddings of OpenCLIP ViT-bigG-14 to pictures of 512 pixels.

Its negative embedding is the image embedding of a zero tensor, so CLIP's image tower is loaded once, used once and let go; the
1B-parameter prior, which makes image embeddings of texts, is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.steer.decoders.loaded import Paint, Place, open_pipeline, settle
from sae_core.steer.decoders.pretrained import Component, PretrainedDecoder, Repository


def zero_image_embedding(image_encoder: Any, place: Place) -> torch.Tensor:
    """CLIP's embedding of a zero tensor, [1, d], which Kandinsky was trained to take for "nothing in particular"."""
    side = image_encoder.config.image_size
    zeros = torch.zeros(1, 3, side, side, device=place.device, dtype=image_encoder.dtype)
    with torch.inference_mode():
        embedding: torch.Tensor = image_encoder.to(place.device)(zeros).image_embeds
    return embedding.to(place.dtype).clone()


def open_kandinsky(folders: Sequence[Path], place: Place) -> tuple[Any, Paint]:
    """The pipeline, and how it is called; folders: the decoder's and the prior's."""
    from diffusers import KandinskyV22Pipeline
    from transformers import CLIPVisionModelWithProjection

    image_encoder = CLIPVisionModelWithProjection.from_pretrained(
        str(folders[1] / "image_encoder"), dtype=place.dtype, use_safetensors=True, local_files_only=True
    )
    negative = zero_image_embedding(image_encoder, place)
    del image_encoder
    pipe = open_pipeline(KandinskyV22Pipeline, folders[0], place)
    settle(pipe, place)
    side = pipe.unet.config.sample_size * pipe.movq_scale_factor

    def paint(row: torch.Tensor, generator: torch.Generator, steps: int, guidance: float) -> NDArray[np.floating]:
        drawn: NDArray[np.floating] = pipe(
            image_embeds=row,
            negative_image_embeds=negative,
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generator,
            output_type="np",
        ).images
        return drawn

    return pipe, paint


KANDINSKY_22 = PretrainedDecoder(
    id="kandinsky-2.2",
    title="Kandinsky 2.2",
    encoders=("ViT-bigG-14/laion2b_s39b_b160k", "hf-hub:laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"),
    dim=1280,
    steps=50,
    guidance=4.0,
    repositories=(
        Repository(
            "kandinsky-community/kandinsky-2-2-decoder",
            (
                Component("unet/diffusion_pytorch_model.safetensors", 1_253_000_000),
                Component("movq/diffusion_pytorch_model.safetensors", 68_000_000),
            ),
            ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json", "movq/config.json"),
        ),
        Repository(
            "kandinsky-community/kandinsky-2-2-prior",
            (Component("image_encoder/model.safetensors", 1_845_000_000, stored=2, passing=True),),
            ("image_encoder/config.json",),
        ),
    ),
    opener=open_kandinsky,
    licence="Apache-2.0",
)
