"""Stable unCLIP (Stable Diffusion 2.1 that follows an image embedding): h takes ViT-H-14's, l takes OpenAI's ViT-L-14's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.steer.decoders.loaded import Paint, Place, open_pipeline, settle
from sae_core.steer.decoders.pretrained import Component, PretrainedDecoder, Repository


def open_unclip(folders: Sequence[Path], place: Place) -> tuple[Any, Paint]:
    """The pipeline, and how it is called with an empty text and no noise on the embedding."""
    from diffusers import StableUnCLIPImg2ImgPipeline
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    # Given an embedding the pipeline never runs its image encoder, but it asks for its dtype: an encoder of a few parameters
    # answers that as well as one of 2.5 GB.
    smallest = CLIPVisionConfig(
        hidden_size=4,
        intermediate_size=4,
        projection_dim=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=4,
        patch_size=4,
    )
    stand_in = CLIPVisionModelWithProjection(smallest).to(place.dtype)
    pipe = open_pipeline(StableUnCLIPImg2ImgPipeline, folders[0], place, image_encoder=stand_in, feature_extractor=None)
    settle(pipe, place)

    def paint(row: torch.Tensor, generator: torch.Generator, steps: int, guidance: float) -> NDArray[np.floating]:
        drawn: NDArray[np.floating] = pipe(
            prompt="",
            image_embeds=row,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generator,
            output_type="np",
        ).images
        return drawn

    return pipe, paint


def _repository(name: str) -> Repository:
    return Repository(
        name,
        (
            Component("unet/diffusion_pytorch_model.safetensors", 870_000_000),
            Component("vae/diffusion_pytorch_model.safetensors", 84_000_000),
            Component("text_encoder/model.safetensors", 340_000_000),
            Component("image_normalizer/diffusion_pytorch_model.safetensors", 2_048),
        ),
        (
            "model_index.json",
            "scheduler/scheduler_config.json",
            "image_noising_scheduler/scheduler_config.json",
            "unet/config.json",
            "vae/config.json",
            "text_encoder/config.json",
            "image_normalizer/config.json",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer_config.json",
            "tokenizer/special_tokens_map.json",
        ),
    )


STABLE_UNCLIP_H = PretrainedDecoder(
    id="stable-unclip-h",
    title="Stable unCLIP h (Stable Diffusion 2.1)",
    encoders=("ViT-H-14/laion2b_s32b_b79k", "hf-hub:laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
    dim=1024,
    steps=25,
    guidance=10.0,
    repositories=(_repository("sd2-community/stable-diffusion-2-1-unclip"),),
    opener=open_unclip,
    licence="CreativeML Open RAIL++-M",
)

STABLE_UNCLIP_L = PretrainedDecoder(
    id="stable-unclip-l",
    title="Stable unCLIP l (Stable Diffusion 2.1)",
    encoders=("ViT-L-14/openai", "ViT-L-14-quickgelu/openai", "hf-hub:timm/vit_large_patch14_clip_224.openai"),
    dim=768,
    steps=25,
    guidance=10.0,
    repositories=(_repository("stabilityai/stable-diffusion-2-1-unclip-small"),),
    opener=open_unclip,
    licence="CreativeML Open RAIL++-M",
)
