"""The real diffusers pipelines, tiny and with random weights, through our interface; nothing is downloaded."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sae_core.errors import Cancelled, DamagedArtifact, InputError
from sae_core.progress import Event
from sae_core.steer.decoders.catalogue import PRETRAINED
from sae_core.steer.decoders.draw import Drawn, NotDrawn, draw_embeddings
from sae_core.steer.decoders.loaded import LoadedDecoder
from sae_core.steer.decoders.pretrained import PretrainedDecoder
from sae_core.steer.edits import Recipe

tiny = pytest.importorskip("tests.steer.tiny_decoders", reason="the optional packages for decoders are not installed")

IDS = list(PRETRAINED)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("hub")
    for decoder in PRETRAINED.values():
        tiny.fill(cache, decoder, tmp_path_factory.mktemp("made"))
    return cache


@pytest.fixture
def at(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PretrainedDecoder]:
    """A decoder by id, its tiny version being all that the Hub's cache holds."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    return lambda id: tiny.shrunk(PRETRAINED[id])


@pytest.fixture(scope="module")
def ready() -> dict[str, LoadedDecoder]:
    """Decoders that a test loaded for all: on the CPU, in fp32."""
    return {}


@pytest.fixture
def loaded(at: Callable[[str], PretrainedDecoder], ready: dict[str, LoadedDecoder]) -> Callable[[str], LoadedDecoder]:
    def of(id: str) -> LoadedDecoder:
        if id not in ready:
            ready[id] = at(id).load("cpu")
        return ready[id]

    return of


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((2, tiny.DIM)).astype(np.float32)


def dictionary(decoder: PretrainedDecoder, **other: Any) -> Any:
    about = {"d": decoder.dim, "m": 8, "encoder_id": decoder.encoders[0], "sha256": "ab" * 32, **other}
    return SimpleNamespace(**about)


def pixels(pictures: list[Image.Image] | tuple[Image.Image, ...]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(picture) for picture in pictures])


def folders(decoder: PretrainedDecoder) -> list[Path]:
    found = [repository.folder() for repository in decoder.repositories]
    assert all(found)
    return [path for path in found if path is not None]


Call = Callable[[NDArray[np.float32], int, int, float], NDArray[np.uint8]]


def direct(decoder: PretrainedDecoder) -> Call:
    """The pipeline called as its own documentation calls it, in float32: row, seed, steps, guidance -> pixels."""
    import diffusers
    from transformers import CLIPVisionModelWithProjection

    first, *others = folders(decoder)
    zero: Any = None
    if decoder.id == "kandinsky-2.2":
        encoder = CLIPVisionModelWithProjection.from_pretrained(str(others[0] / "image_encoder"))
        prior = SimpleNamespace(image_encoder=encoder, device=torch.device("cpu"))
        zero = diffusers.KandinskyV22PriorPipeline.get_zero_embed(prior).detach()
        pipe = diffusers.KandinskyV22Pipeline.from_pretrained(str(first))
    elif decoder.id.startswith("stable-unclip"):
        # With a whole image encoder, where ours has a stand-in.
        parts = {"image_encoder": tiny.vision(), "feature_extractor": None}
        pipe = diffusers.StableUnCLIPImg2ImgPipeline.from_pretrained(str(first), **parts)
    else:
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(str(first), safety_checker=None, feature_extractor=None)
        pipe.load_ip_adapter(
            str(others[0]), subfolder="models", weight_name="ip-adapter_sd15.safetensors", image_encoder_folder=None
        )
    pipe.set_progress_bar_config(disable=True)

    def call(row: NDArray[np.float32], seed: int, steps: int, guidance: float) -> NDArray[np.uint8]:
        x = torch.from_numpy(row)[None]
        given: dict[str, Any]
        if zero is not None:
            given = {"image_embeds": x, "negative_image_embeds": zero, "height": 32, "width": 32}
        elif decoder.id.startswith("stable-unclip"):
            given = {"prompt": "", "image_embeds": x}
        elif guidance > 1:
            given = {"prompt": "", "ip_adapter_image_embeds": [torch.stack([torch.zeros_like(x), x])]}
        else:
            given = {"prompt": "", "ip_adapter_image_embeds": [x[None]]}
        generator = torch.Generator().manual_seed(seed)
        made = pipe(num_inference_steps=steps, guidance_scale=guidance, generator=generator, **given)
        return np.asarray(made.images[0])

    return call


@pytest.mark.parametrize("id", IDS)
def test_the_pictures_are_the_pipelines_own(id: str, at: Callable[[str], PretrainedDecoder], rows: NDArray[np.float32]) -> None:
    decoder, recipe = at(id), Recipe(seed=11)
    call = direct(decoder)
    for guidance in (4.0, 1.0):
        drawn = draw_embeddings(rows, recipe, dictionary(decoder), decoder, 2, guidance, device="cpu")
        assert isinstance(drawn, Drawn)
        assert drawn.recipe == recipe.model_copy(update={"decoder": id})
        ours = pixels(drawn.pictures)
        assert ours.shape == (2, 32, 32, 3)
        np.testing.assert_array_equal(ours, np.stack([call(row, 11, 2, guidance) for row in rows]))
        assert (ours[0] != ours[1]).any(), "the embedding is ignored"


@pytest.mark.parametrize("id", IDS)
def test_a_picture_depends_on_its_embedding_and_seed_alone(
    id: str, loaded: Callable[[str], LoadedDecoder], rows: NDArray[np.float32]
) -> None:
    decoder = loaded(id)
    state = torch.get_rng_state()
    both = pixels(decoder.decode(rows, 3, 2, 4.0))
    np.testing.assert_array_equal(pixels(decoder.decode(rows[1:], 3, 2, 4.0))[0], both[1])
    assert (pixels(decoder.decode(rows[1:], 4, 2, 4.0))[0] != both[1]).any()
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


@pytest.mark.parametrize("id", IDS)
def test_half_precision_and_offload(
    id: str, at: Callable[[str], PretrainedDecoder], loaded: Callable[[str], LoadedDecoder], rows: NDArray[np.float32]
) -> None:
    half = at(id).load("cpu", precision="bf16")
    assert {p.dtype for p in half.pipe.unet.parameters()} == {torch.bfloat16}
    waiting = at(id).load("cpu", offload=True)
    assert len(waiting.pipe._all_hooks) >= 2
    assert hasattr(waiting.pipe.unet, "_hf_hook")
    for guidance in (4.0, 1.0):
        full = pixels(loaded(id).decode(rows[:1], 0, 2, guidance))
        difference = np.abs(pixels(half.decode(rows[:1], 0, 2, guidance)).astype(int) - full)
        assert 0 < difference.mean() < 8, "bf16 has 8 bits of mantissa; a few grey levels, no more"
        np.testing.assert_array_equal(pixels(waiting.decode(rows[:1], 0, 2, guidance)), full)


def test_the_trap_is_there_and_ours_does_not_fall_in(at: Callable[[str], PretrainedDecoder], rows: NDArray[np.float32]) -> None:
    loaded = at("kandinsky-2.2").load("cpu", precision="bf16")
    negative = torch.zeros(1, tiny.DIM)
    given = {"negative_image_embeds": negative, "height": 32, "width": 32, "num_inference_steps": 1}
    x = torch.from_numpy(rows)
    loaded.pipe(image_embeds=x, guidance_scale=1.1, **{**given, "negative_image_embeds": negative.repeat(2, 1)})
    with pytest.raises(RuntimeError):  # not cast
        loaded.pipe(image_embeds=x, guidance_scale=1.0, **given)
    with pytest.raises(RuntimeError):  # not repeated
        loaded.pipe(image_embeds=x.bfloat16(), guidance_scale=1.0, num_images_per_prompt=3, **given)
    assert len(loaded.decode(rows, 0, 1, 1.0)) == 2


# ---------------------------------------------------------------- memory


def test_out_of_memory_keeps_the_recipe_and_lets_go(
    at: Callable[[str], PretrainedDecoder], rows: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = at("kandinsky-2.2")
    loaded = decoder.load("cpu", offload=True)
    before = pixels(loaded.decode(rows, 0, 2, 4.0))
    held: list[weakref.ref[torch.Tensor]] = []

    def full(sample: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        big = sample * 2
        held.append(weakref.ref(big))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    recipe = Recipe(seed=0)
    with monkeypatch.context() as patched:
        patched.setattr(loaded.pipe.unet, "forward", full)
        answer = draw_embeddings(rows, recipe, dictionary(decoder), loaded, 2, 4.0)
    assert isinstance(answer, NotDrawn)
    assert answer.recipe == recipe
    assert "kandinsky-2.2" in answer.reason
    assert "memory ran out" in answer.reason
    assert len(held) == 1
    assert held[0]() is None, "the failed attempt still holds memory"
    again = draw_embeddings(rows, recipe, dictionary(decoder), loaded, 2, 4.0)
    assert isinstance(again, Drawn)
    np.testing.assert_array_equal(pixels(again.pictures), before)


def test_out_of_memory_on_the_cpu_and_while_loading(
    at: Callable[[str], PretrainedDecoder],
    loaded: Callable[[str], LoadedDecoder],
    rows: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder, ready = at("stable-unclip-h"), loaded("stable-unclip-h")
    # The allocator's own error, of memory that no machine has.
    monkeypatch.setattr(ready.pipe.unet, "forward", lambda *a, **k: torch.empty(1 << 50, dtype=torch.float64))
    assert isinstance(draw_embeddings(rows, Recipe(), dictionary(decoder), ready, 1), NotDrawn)

    def too_large(*args: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    unloadable = dataclasses.replace(decoder, opener=too_large)
    answer = draw_embeddings(rows, Recipe(), dictionary(decoder), unloadable, 1, device="cpu")
    assert isinstance(answer, NotDrawn)
    assert decoder.needs()["memory_offloaded"] in answer.reason
    monkeypatch.setattr(ready.pipe.unet, "forward", lambda *a, **k: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):  # any other error is no lack of memory
        draw_embeddings(rows, Recipe(), dictionary(decoder), ready, 1)


def test_pictures_are_reported_and_can_be_cancelled(loaded: Callable[[str], LoadedDecoder], rows: NDArray[np.float32]) -> None:
    seen: list[tuple[int, int]] = []

    def stop(event: Event) -> None:
        seen.append((event.step, event.total))
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        loaded("kandinsky-2.2").decode(rows, 0, 1, 4.0, stop)
    assert seen == [(1, 2)]


def test_nan_in_half_precision_is_no_black_picture(
    loaded: Callable[[str], LoadedDecoder], rows: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = loaded("ip-adapter-sd15")
    bias = decoder.pipe.vae.decoder.conv_out.bias
    monkeypatch.setattr(bias, "data", torch.full_like(bias, torch.nan))
    with pytest.raises(InputError, match=r"NaN.*fp32"):
        decoder.decode(rows, 0, 1, 4.0)


@pytest.mark.parametrize("broken", ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
def test_a_broken_file_is_said_in_a_line(broken: str, at: Callable[[str], PretrainedDecoder]) -> None:
    decoder = at("stable-unclip-l")
    file = folders(decoder)[0] / broken
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        with pytest.raises(DamagedArtifact, match=r"cannot be read from .*; remove that folder and fetch again") as error:
            decoder.load("cpu")
    finally:
        file.write_bytes(whole)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- refusals, before anything is loaded


@pytest.mark.parametrize("id", IDS)
def test_another_checkpoint_is_refused_whatever_its_width(id: str, rows: NDArray[np.float32]) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("it was loaded")

    decoder = dataclasses.replace(tiny.shrunk(PRETRAINED[id]), opener=never)
    model = decoder.encoders[0].partition("/")[0]
    for other in ("bundled/v1", f"{model}/laion400m_e31", "ViT-B-32/openai"):
        with pytest.raises(InputError, match=f"{id} draws embeddings of {decoder.encoders[0]}, the dictionary's are of {other}"):
            draw_embeddings(rows, Recipe(), dictionary(decoder, encoder_id=other), decoder)
    with pytest.raises(InputError, match="does not say which CLIP"):
        draw_embeddings(rows, Recipe(), dictionary(decoder, encoder_id=None), decoder)
    with pytest.raises(InputError, match="the recipe is for dictionary"):
        draw_embeddings(rows, Recipe(sae="cd" * 32), dictionary(decoder), decoder)
    bad = {
        "row 1 holds NaN": np.where(np.arange(2)[:, None] == 1, np.nan, rows),
        "row 0 is the zero vector": rows * np.array([[0], [1]]),
        r"shape \[2, 31\]": rows[:, 1:],
    }
    for reason, values in bad.items():
        with pytest.raises(InputError, match=reason):
            draw_embeddings(values, Recipe(), dictionary(decoder), decoder)
    for steps, guidance in ((0, 4.0), (1001, 4.0), (2, float("nan")), (2, -1.0)):
        with pytest.raises(InputError, match="must be"):
            draw_embeddings(rows, Recipe(), dictionary(decoder), decoder, steps, guidance)
