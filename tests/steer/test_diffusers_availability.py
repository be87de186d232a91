"""What a decoder is said to need, and that nothing is fetched unasked; no diffusers package is needed here."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from sae_core.clip.weights import find_weights
from sae_core.config import load_config
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.steer.decoders import pretrained
from sae_core.steer.decoders.catalogue import PRETRAINED, decoders_for, find_decoder
from sae_core.steer.decoders.kandinsky import KANDINSKY_22


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache, and packages that count as installed."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(pretrained, "PACKAGES", ())
    return tmp_path


def lay_out(folder: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no weights")


def snapshot(cache: Path, repository: str) -> Path:
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("1" * 40)
    return home / "snapshots" / ("1" * 40)


@pytest.mark.parametrize("id", PRETRAINED)
def test_each_encoder_is_one_open_clip_checkpoint_of_that_width(id: str) -> None:
    import open_clip

    decoder = find_decoder(id)
    model, _, tag = decoder.encoders[0].partition("/")
    weights = find_weights(model, tag)
    assert weights.id == decoder.encoders[0]
    assert open_clip.get_model_config(model)["embed_dim"] == decoder.dim
    for alias in decoder.encoders[1:]:
        if alias.startswith("hf-hub:"):
            other = find_weights(alias)
            assert other.id == alias
            assert other.repo == weights.repo
        else:
            other = find_weights(*alias.split("/"))
            assert (other.repo, other.quick_gelu) == (weights.repo, weights.quick_gelu)


def test_which_decoders_understand_a_checkpoint() -> None:
    assert [d.id for d in decoders_for("ViT-bigG-14/laion2b_s39b_b160k")] == ["kandinsky-2.2"]
    assert [d.id for d in decoders_for("ViT-H-14/laion2b_s32b_b79k")] == ["stable-unclip-h", "ip-adapter-sd15"]
    assert [d.id for d in decoders_for("ViT-L-14/openai")] == ["stable-unclip-l"]
    assert [d.id for d in decoders_for("bundled/v1")] == ["drawn-strokes"]
    for other in ("ViT-B-32/openai", "ViT-L-14/laion2b_s32b_b82k", "ViT-bigG-14/metaclip_fullcc", None):
        assert decoders_for(other) == []
    with pytest.raises(InputError, match=r"no decoder 'dall-e'; there are drawn-strokes, kandinsky-2.2, stable-unclip-h"):
        find_decoder("dall-e")


@pytest.mark.parametrize("id", PRETRAINED)
def test_only_safe_formats_are_ever_named(id: str) -> None:
    for repository in find_decoder(id).repositories:
        assert all(component.file.endswith(".safetensors") for component in repository.components)
        assert all(name.endswith((".json", ".txt")) for name in repository.small)


def test_sizes_are_those_of_the_files() -> None:
    # unet 5.01 GB, movq 271 MB, image encoder 3.69 GB, as the Hub lists them
    assert KANDINSKY_22.disk_bytes == pytest.approx(5.01e9 + 0.271e9 + 3.69e9, rel=0.002)
    everything = sum(c.parameters * 2 for repository in KANDINSKY_22.repositories for c in repository.components)
    assert everything == pytest.approx(6.3e9, rel=0.01)
    # the encoder goes before the rest comes, so the fuller of two moments counts
    assert KANDINSKY_22.memory_bytes() == 1_845_000_000 * 2
    assert find_decoder("ip-adapter-sd15").memory_bytes() == (860 + 84 + 123 + 22) * 2_000_000
    assert find_decoder("ip-adapter-sd15").memory_bytes(offload=True) == 860 * 2_000_000


@pytest.mark.parametrize("id", PRETRAINED)
def test_nothing_is_fetched_without_a_yes(id: str, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def network(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", network)
    monkeypatch.setattr("huggingface_hub.snapshot_download", network)
    decoder = find_decoder(id)
    needs = decoder.needs()
    assert needs["present"] is False
    assert f"{decoder.disk_bytes / 1e9:.1f} GB" in needs["size"]
    with pytest.raises(Unavailable) as refused:
        decoder.load("cpu")
    for part in (needs["size"], needs["memory"], needs["source"], "fetch=True"):
        assert part in str(refused.value)
    assert list(hub.iterdir()) == []


def test_a_yes_fetches_the_named_files_and_no_other(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[str]] = {}

    def download(repository: str, allow_patterns: list[str]) -> str:
        asked[repository] = allow_patterns
        folder = snapshot(hub, repository)
        lay_out(folder, tuple(allow_patterns))
        return str(folder)

    def opener(folders: Any, place: Any) -> Any:
        assert all((f / name).is_file() for f, r in zip(folders, KANDINSKY_22.repositories, strict=True) for name in r.files)
        raise OSError("header too large\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *args, **kwargs: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    decoder = dataclasses.replace(KANDINSKY_22, opener=opener)
    # What came is no model, which is said in a line.
    with pytest.raises(DamagedArtifact, match=r"Kandinsky 2.2 cannot be read from .*: header too large; remove"):
        decoder.load("cpu", fetch=True)
    assert asked == {repository.name: list(repository.files) for repository in decoder.repositories}
    assert decoder.present()
    asked.clear()
    with pytest.raises(DamagedArtifact):
        decoder.load("cpu")
    assert asked == {}


def test_half_a_download_does_not_count_as_present(hub: Path) -> None:
    for repository in KANDINSKY_22.repositories:
        lay_out(snapshot(hub, repository.name), repository.files[:-1])
    assert not KANDINSKY_22.present()


def test_no_network_is_said_in_a_line(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("name resolution failed\nat length")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(Unavailable, match=r"cannot fetch Kandinsky 2.2 .*: name resolution failed; without a decoder"):
        KANDINSKY_22.load("cpu", fetch=True)


@pytest.mark.parametrize("package", ["diffusers", "transformers", "accelerate"])
def test_missing_packages_are_named_with_the_command(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unavailable, match=f"needs package {package}: pip install diffusers transformers accelerate"):
        KANDINSKY_22.load("cpu")


def test_device_and_precision_are_checked_first(hub: Path) -> None:
    with pytest.raises(InputError, match="no precision 'int8'"):
        KANDINSKY_22.load("cpu", precision="int8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no device"):
        KANDINSKY_22.load("abacus")


def test_the_shipped_config_trains_what_kandinsky_draws() -> None:
    config = load_config(Path(__file__).parents[2] / "configs" / "kandinsky_bigG.yaml")
    weights = find_weights(config.clip.model, config.clip.pretrained)
    assert decoders_for(weights.id) == [KANDINSKY_22]
