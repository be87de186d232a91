"""Out of here and back, through every format: raw embeddings reconstruct the same, and codes do where a format keeps them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sae_core.config import Architecture, BatchTopK, JumpRelu, KMeans, Matryoshka, Random, ReluL1, TopK
from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats import FORMATS, folded, load_sae, save_sae
from sae_core.sae.rules import rule_of
from tests.sae.formats.examples import EVERY, margins, near, random_sae

PAIRS = [(form, kind) for form in FORMATS for kind in EVERY if FORMATS[form].holds(kind.kind)]


@st.composite
def dictionaries(draw: st.DrawFn, architecture: Architecture) -> SAE:
    """Any small shape, scale and mean; k and groups follow from the shape."""
    d, m = draw(st.integers(1, 7)), draw(st.integers(1, 12))
    match architecture:
        case TopK() | BatchTopK():
            architecture = type(architecture)(k=draw(st.integers(1, m)))
        case Matryoshka():
            ends = sorted({*draw(st.sets(st.integers(1, m), max_size=4)), m})
            sizes = np.diff([0, *ends]).tolist()
            architecture = Matryoshka(k=draw(st.integers(1, m)), groups=tuple(size / m for size in sizes))
    scale, shift = 10.0 ** draw(st.floats(-3, 3)), draw(st.sampled_from([0.0, 0.1, 1.0, 20.0]))
    # The mean is drawn in scaled units, so that its distance from 0 is a few of the data's spreads, as CLIP's is.
    return random_sae(architecture, d, m, scale, shift / scale, seed=draw(st.integers(0, 1000)), encoder="ViT-B-32/openai")


@pytest.mark.parametrize(("form", "kind"), PAIRS, ids=lambda value: value if isinstance(value, str) else value.kind)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_raw_embeddings_reconstruct_the_same(form: str, kind: Architecture, data: st.DataObject) -> None:
    sae = data.draw(dictionaries(kind))
    x = near(sae, 20)
    x = x[margins(sae, x) > 1e-3]  # where no code jumps between two roundings of the same number
    assume(len(x))
    with tempfile.TemporaryDirectory() as folder:
        sae.save(folder, format=form)
        back = load_sae(folder)
    before = sae(x)
    np.testing.assert_allclose(back(x), before, rtol=0, atol=1e-5 * max(np.abs(before).max(), np.abs(x).max()))
    assert back.encoder_id == (None if form == "seed" else sae.encoder_id)
    assert back.architecture.kind == sae.architecture.kind
    for name in ("k", "groups"):
        assert getattr(back.architecture, name, None) == getattr(sae.architecture, name, None)
    if (form, kind.kind) == ("dictionary_learning", "relu_l1"):
        # Its rows have length 1: the codes took the lengths over.
        np.testing.assert_allclose(back.decoder.norm(dim=1), 1, rtol=1e-5)
        expected = sae.encode(x) * sae.decoder_raw.norm(dim=1).numpy()
    else:
        expected = sae.encode(x)
    np.testing.assert_allclose(back.encode(x), expected, rtol=0, atol=1e-4 * max(expected.max(), 1e-30))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.kind)
def test_folding_is_the_same_map_by_hand(kind: Architecture, centred: bool) -> None:
    sae = random_sae(kind, 6, 20)
    x = torch.from_numpy(near(sae, 30)).double()
    x = x[margins(sae, x.float().numpy()) > 1e-3]
    weights = {name: tensor.double() for name, tensor in folded(sae, centred).items()}
    pre = (x - (weights["b_dec"] if centred else 0)) @ weights["W_enc"].T + weights.get("b_enc", 0)
    z = rule_of(kind, weights).dense(pre)
    x_hat = z @ weights["W_dec"] + weights["b_dec"]
    assert len(x) > 20
    np.testing.assert_allclose(z, sae.encode(x.float()), atol=3e-5)
    np.testing.assert_allclose(x_hat, sae(x.float()), atol=1e-5 * float(x_hat.abs().max()))


def test_the_stored_bias_is_the_one_that_the_encoder_s_bias_matches() -> None:
    # With a mean 10,000 spreads from 0, float32 moves b_dec by 5e-4 of a spread; the encoder's bias must know by how much.
    sae = random_sae(ReluL1(), 6, 20, scale=1.0, shift=1e4)
    x = torch.from_numpy(near(sae, 30)).double()
    exact, stored = ({name: tensor.double() for name, tensor in some.items()} for some in (sae.weights, folded(sae, True)))
    pre = (x - sae.mean.double()) @ exact["W_enc"].T + exact["b_enc"]
    np.testing.assert_allclose((x - stored["b_dec"]) @ stored["W_enc"].T + stored["b_enc"], pre, atol=1e-6)


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "native"])
def test_a_dead_latent_with_a_direction_of_length_0_stays_dead(form: str, tmp_path: Path) -> None:
    for kind in (kind for kind in EVERY if FORMATS[form].holds(kind.kind)):
        sae = random_sae(kind, 5, 9)
        sae.weights["W_dec"][4] = 0
        sae.save(tmp_path / kind.kind, format=form)
        x = near(sae, 30)
        x = x[margins(sae, x) > 1e-3]
        np.testing.assert_allclose(load_sae(tmp_path / kind.kind)(x), sae(x), atol=1e-5 * np.abs(sae(x)).max())


def test_controls_go_as_what_computes_the_same(tmp_path: Path) -> None:
    sae = random_sae(Random(k=3), 6, 20)
    x = near(sae, 30)
    sae.save(tmp_path / "random", format="sparsify")
    back = load_sae(tmp_path / "random")
    assert back.architecture == TopK(k=3)
    np.testing.assert_allclose(back(x), sae(x), atol=1e-5 * np.abs(sae(x)).max())
    with pytest.raises(InputError, match="holds topk dictionaries only, this is kmeans; use native"):
        random_sae(KMeans(), 6, 20).save(tmp_path / "kmeans", format="sparsify")


def test_a_format_that_cannot_say_an_architecture_names_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"sparsify format holds topk .* this is gated; use native, dictionary_learning, saelens"
    ):
        random_sae(EVERY[-1], 6, 20).save(tmp_path, format="sparsify")
    with pytest.raises(InputError, match=r"seed format holds relu_l1 .* this is jumprelu; use native"):
        random_sae(JumpRelu(), 6, 20).save(tmp_path, format="seed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("first", "second"), [("native", "sparsify"), ("sparsify", "saelens"), ("native", "dictionary_learning")]
)
def test_a_format_does_not_write_over_another_s_files(first: str, second: str, tmp_path: Path) -> None:
    sae = random_sae(TopK(k=3), 6, 20)
    sae.save(tmp_path, format=first)
    with pytest.raises(InputError, match=f"has a dictionary in the {first} format, whose files would be lost"):
        sae.save(tmp_path, format=second)
    sae.save(tmp_path, format=first)
    assert load_sae(tmp_path).architecture == sae.architecture


def test_folders_that_share_no_file_may_be_one(tmp_path: Path) -> None:
    sae = random_sae(ReluL1(), 6, 20)
    for form in ("native", "seed"):
        save_sae(sae, tmp_path, form)
    assert load_sae(tmp_path).sha256 == sae.sha256
    assert load_sae(tmp_path / FORMATS["seed"].file).sha256 != sae.sha256
