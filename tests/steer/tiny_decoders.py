"""The real diffusers pipelines with tiny random weights, laid out on disk as the Hub's cache lays out the real ones."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    KandinskyV22Pipeline,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
    VQModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from sae_core.steer.decoders.ip_adapter import ADAPTER
from sae_core.steer.decoders.pretrained import PretrainedDecoder

DIM = 32
COMMIT = "0" * 40


def seeded(make: Any) -> Any:
    """A module whose random weights are the same every time; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def vision(dim: int = DIM) -> Any:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=dim,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    return seeded(lambda: CLIPVisionModelWithProjection(config))


def kandinsky() -> Any:
    unet = seeded(
        lambda: UNet2DConditionModel(
            sample_size=16,
            in_channels=4,
            out_channels=8,
            addition_embed_type="image",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            block_out_channels=(32, 64),
            layers_per_block=1,
            encoder_hid_dim=DIM,
            encoder_hid_dim_type="image_proj",
            cross_attention_dim=32,
            attention_head_dim=4,
            resnet_time_scale_shift="scale_shift",
        )
    )
    movq = seeded(
        lambda: VQModel(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=8,
            norm_type="spatial",
            num_vq_embeddings=12,
            vq_embed_dim=4,
        )
    )
    # The real one's scheduler: it learns its variance and draws noise at every step.
    scheduler = DDPMScheduler(beta_schedule="linear", beta_start=0.00085, beta_end=0.012, variance_type="learned_range")
    return KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq)


def text_parts(folder: Path) -> dict[str, Any]:
    vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3, "l": 4, "l</w>": 5}
    config = CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        hidden_size=32,
        intermediate_size=32,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=len(vocab),
        projection_dim=32,
    )
    source = folder / "words"
    source.mkdir(parents=True)
    (source / "vocab.json").write_text(json.dumps(vocab))
    (source / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(str(source), model_max_length=77)
    vae = seeded(
        lambda: AutoencoderKL(
            block_out_channels=(32, 64),
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            latent_channels=4,
            norm_num_groups=8,
        )
    )
    return {"tokenizer": tokenizer, "text_encoder": seeded(lambda: CLIPTextModel(config)), "vae": vae}


def text_unet(**more: Any) -> Any:
    return seeded(
        lambda: UNet2DConditionModel(
            sample_size=16,
            in_channels=4,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=4,
            **more,
        )
    )


def scheduler() -> Any:
    return DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1)


def unclip(folder: Path) -> Any:
    return StableUnCLIPImg2ImgPipeline(
        feature_extractor=None,
        image_encoder=vision(),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=DIM),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        unet=text_unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * DIM),
        scheduler=scheduler(),
        **text_parts(folder),
    )


def stable_diffusion(folder: Path) -> Any:
    return StableDiffusionPipeline(
        unet=text_unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **text_parts(folder),
    )


def adapter(unet: Any) -> dict[str, torch.Tensor]:
    """IP-Adapter weights that fit a U-Net: the projection of an embedding to 4 tokens, and a key and value a cross-attention."""
    generator = torch.Generator().manual_seed(3)
    cross = unet.config.cross_attention_dim

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    weights = {
        "image_proj.proj.weight": noise(4 * cross, DIM),
        "image_proj.proj.bias": noise(4 * cross),
        "image_proj.norm.weight": torch.ones(cross),
        "image_proj.norm.bias": torch.zeros(cross),
    }
    place = 1
    for name in unet.attn_processors:
        if name.endswith("attn2.processor"):
            module = unet.get_submodule(name.removesuffix(".processor"))
            width = module.to_k.weight.shape[0]
            weights[f"ip_adapter.{place}.to_k_ip.weight"] = noise(width, cross)
            weights[f"ip_adapter.{place}.to_v_ip.weight"] = noise(width, cross)
            place += 2
    return weights


def snapshot(cache: Path, repository: str) -> Path:
    """An empty snapshot folder in a Hub cache."""
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text(COMMIT)
    folder = home / "snapshots" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fill(cache: Path, decoder: PretrainedDecoder, scratch: Path) -> None:
    """Write a tiny version of a decoder's repositories into a Hub cache: the files that it names, and no other."""
    first, *others = [snapshot(cache, repository.name) for repository in decoder.repositories]
    made = scratch / decoder.id
    if decoder.id == "kandinsky-2.2":
        kandinsky().save_pretrained(made)
        vision().save_pretrained(others[0] / "image_encoder")
    elif decoder.id.startswith("stable-unclip"):
        unclip(scratch / "parts" / decoder.id).save_pretrained(made)
    else:
        pipe = stable_diffusion(scratch / "parts" / decoder.id)
        pipe.save_pretrained(made)
        (others[0] / ADAPTER).parent.mkdir(parents=True)
        save_file(adapter(pipe.unet), others[0] / ADAPTER)
    vocabulary = scratch / "parts" / decoder.id / "words"
    for name in decoder.repositories[0].files:
        target = first / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = made / name
        # The real repositories keep the tokenizer in its older form, vocabulary and merges.
        if not source.exists() and name.startswith("tokenizer/"):
            source = vocabulary / Path(name).name
        if source.exists():
            shutil.copy(source, target)
        else:
            target.write_text("{}")


def shrunk(decoder: PretrainedDecoder) -> PretrainedDecoder:
    """The decoder with the tiny models' width; everything else is the real description."""
    return dataclasses.replace(decoder, dim=DIM)
