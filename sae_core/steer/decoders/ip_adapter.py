"""IP-Adapter on Stable Diffusion 1.5: follows embeddings of OpenCLIP ViT-H-14 through 22M added parameters.

Without a text it draws what the embedding alone says. Stable Diffusion's safety checker is left out: it replaces a picture by a
black one, which would read as an effect of the edit. So this decoder is for one's own machine, not for a public page.
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

ADAPTER = "models/ip-adapter_sd15.safetensors"


def open_ip_adapter(folders: Sequence[Path], place: Place) -> tuple[Any, Paint]:
    """The pipeline with the adapter in it, and how it is called with no text; folders: Stable Diffusion's, the adapter's."""
    from diffusers import StableDiffusionPipeline

    pipe = open_pipeline(
        StableDiffusionPipeline,
        folders[0],
        place,
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    folder, _, file = ADAPTER.partition("/")
    pipe.load_ip_adapter(str(folders[1]), subfolder=folder, weight_name=file, image_encoder_folder=None, local_files_only=True)
    pipe.set_ip_adapter_scale(1.0)
    settle(pipe, place)

    def paint(row: torch.Tensor, generator: torch.Generator, steps: int, guidance: float) -> NDArray[np.floating]:
        image = row[:, None]  # [1, one image, d]
        # With guidance the pipeline splits what it is given in two halves, negative first; without, it takes it whole.
        given = torch.cat([torch.zeros_like(image), image]) if guidance > 1 else image
        drawn: NDArray[np.floating] = pipe(
            prompt="",
            ip_adapter_image_embeds=[given],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generator,
            output_type="np",
        ).images
        return drawn

    return pipe, paint


IP_ADAPTER_SD15 = PretrainedDecoder(
    id="ip-adapter-sd15",
    title="IP-Adapter (Stable Diffusion 1.5)",
    encoders=("ViT-H-14/laion2b_s32b_b79k", "hf-hub:laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
    dim=1024,
    steps=30,
    guidance=7.5,
    repositories=(
        Repository(
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            (
                Component("unet/diffusion_pytorch_model.safetensors", 860_000_000),
                Component("vae/diffusion_pytorch_model.safetensors", 84_000_000),
                Component("text_encoder/model.safetensors", 123_000_000),
            ),
            (
                "model_index.json",
                "scheduler/scheduler_config.json",
                "unet/config.json",
                "vae/config.json",
                "text_encoder/config.json",
                "tokenizer/vocab.json",
                "tokenizer/merges.txt",
                "tokenizer/tokenizer_config.json",
                "tokenizer/special_tokens_map.json",
            ),
        ),
        Repository("h94/IP-Adapter", (Component(ADAPTER, 22_000_000, stored=2),), ()),
    ),
    opener=open_ip_adapter,
    licence="Apache-2.0 (the adapter), CreativeML Open RAIL-M (Stable Diffusion 1.5)",
)
