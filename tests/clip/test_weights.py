"""Names are checked before anything is fetched, and a dead network fails at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sae_core.clip import weights
from sae_core.clip.encoder import load_encoder
from sae_core.clip.weights import find_weights, requirements_of
from sae_core.errors import InputError, Unavailable


@pytest.mark.parametrize(
    ("model", "tag", "message"),
    [
        ("ViT-B-23", "openai", "no CLIP model 'ViT-B-23'; did you mean ViT-B-32"),
        ("bundeld", None, "did you mean bundled"),
        ("qqq", None, "there are bundled, .* and [0-9]+ more"),
        ("ViT-B-32", "openal", "no weights 'openal' for ViT-B-32; did you mean openai"),
        ("ViT-B-32", None, "clip.pretrained is missing for ViT-B-32 .*one of openai"),
        ("bundled", "openai", "does not go with clip.model bundled"),
        ("local-dir:nowhere", None, "no open_clip_config.json in nowhere"),
        ("hf-hub:owner", None, "write it as hf-hub:owner/repository"),
    ],
)
def test_wrong_names_name_the_nearest(model: str, tag: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        find_weights(model, tag)
    assert "\n" not in str(caught.value)


def test_the_tag_decides_quick_gelu() -> None:
    # OpenAI trained with QuickGELU; open_clip's own ViT-B-32 config does not say so.
    assert find_weights("ViT-B-32", "openai").quick_gelu
    assert not find_weights("ViT-B-32", "laion2b_s34b_b79k").quick_gelu
    assert find_weights("ViT-B-32", "openai").id == find_weights("ViT-B/32", "OpenAI").id == "ViT-B-32/openai"


@pytest.mark.alone
def test_offline_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(weights, "is_present", lambda weights: False)
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        load_encoder("ViT-B-32", "openai", device="cpu")
    assert time.monotonic() - started < 5
    line = str(caught.value)
    assert "\n" not in line
    for part in ("ViT-B-32/openai", "Hugging Face Hub", "about 605 MB", "HF_HUB_OFFLINE", "clip.model: bundled"):
        assert part in line


@pytest.mark.alone
def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(weights, "is_present", lambda weights: False)
    monkeypatch.setattr(weights, "_offline", lambda: False)
    monkeypatch.setattr(weights, "_ask", lambda weights, seconds: time.sleep(30))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within 0 s"):
        weights.ensure_reachable(find_weights("hf-hub:some/where"), seconds=0.2)
    assert time.monotonic() - started < 5


def test_a_network_error_becomes_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, timeout: float) -> None:
        raise ConnectionError("connection refused\nby somebody")

    monkeypatch.setattr(weights, "is_present", lambda weights: False)
    monkeypatch.setattr(weights, "_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    with pytest.raises(Unavailable, match=r"some/where \(size unknown\): connection refused; the embedded"):
        weights.ensure_reachable(find_weights("hf-hub:some/where"))


def test_requirements_without_downloading() -> None:
    bundled = requirements_of()
    assert bundled["weights"] == "bundled/v1"
    assert bundled["source"] == "in the package"
    assert bundled["present"]
    assert float(bundled["size"].split()[0]) < 10
    large = requirements_of("ViT-L-14", "openai")
    assert large["size"] == "about 1710 MB"
    assert "timm/vit_large_patch14_clip_224.openai" in large["source"]


def test_a_broken_local_model_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot load CLIP weights local-dir/"):
        load_encoder(f"local-dir:{tmp_path}", device="cpu")
