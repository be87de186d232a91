"""The bundled model's trainer: its loss, its phrases' truth, its vocabulary, its seeds, and a run of a few steps."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sae_core.clip.encoder import load_encoder
from sae_core.clip.train_bundled import pool, texts
from sae_core.clip.train_bundled.__main__ import main
from sae_core.clip.train_bundled.loop import Recipe, build, encode_text, train
from sae_core.clip.train_bundled.loss import both_ways, multi_positive
from sae_core.clip.train_bundled.vocabulary import small_merges, stock_merges, write_merges
from sae_core.data import drawn
from sae_core.errors import InputError
from sae_core.progress import Event, silent

CPU = torch.device("cpu")


# ---------------------------------------------------------------- loss


def test_one_truth_each_is_clip_s_loss() -> None:
    logits = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6)
    expected = (torch.nn.functional.cross_entropy(logits, labels) + torch.nn.functional.cross_entropy(logits.T, labels)) / 2
    assert float(both_ways(logits, torch.eye(6))) == pytest.approx(float(expected), rel=1e-6)


def test_equal_truths_share_the_target() -> None:
    # softmax = (1/2, 1/4, 1/4); the first two are equally true: -(log 1/2 + log 1/4) / 2.
    logits = torch.log(torch.tensor([[2.0, 1.0, 1.0]]))
    assert float(multi_positive(logits, torch.tensor([[3.0, 3.0, 0.0]]))) == pytest.approx(1.5 * np.log(2), rel=1e-6)


def test_rows_without_truth_do_not_count() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    truth = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [0, 2, 0, 0]])
    assert float(multi_positive(logits, truth)) == pytest.approx(float(multi_positive(logits[[0, 2]], truth[[0, 2]])), rel=1e-6)
    assert float(multi_positive(logits, torch.zeros(3, 4))) == 0.0


# ---------------------------------------------------------------- phrases


def test_truth_of_phrases() -> None:
    counts = np.array([[0, 3, 0, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0, 0]], np.float32)
    renderings = np.array([0, 1])
    amount = texts.Phrase("curves", "amount", (1,)).weight(counts, renderings)
    np.testing.assert_allclose(amount, np.log([4, 2]), rtol=1e-6)
    both = texts.Phrase("lines and curves", "amount", (0, 1)).weight(counts, renderings)
    np.testing.assert_allclose(both, [0, np.log(2)], rtol=1e-6)
    three = texts.Phrase("three curves", "number", (1,), 3).weight(counts, renderings)
    np.testing.assert_allclose(three, [1, np.exp(-4)], rtol=1e-6)
    photo = texts.Phrase("a photo", "rendering", rendering=1).weight(counts, renderings)
    np.testing.assert_array_equal(photo, [0, 1])


def test_every_primitive_has_words_and_phrases_are_seeded() -> None:
    assert set(texts.NAMES) == set(drawn.PRIMITIVES)
    assert set(texts.RENDERING_PHRASES) == set(drawn.RENDERINGS)
    one, two = (texts.phrases(200, drawn.PRIMITIVES, drawn.RENDERINGS, np.random.default_rng(4)) for _ in range(2))
    assert one == two
    assert {column for phrase in one for column in phrase.columns} == set(range(len(drawn.PRIMITIVES)))
    assert {phrase.kind for phrase in one} == {"amount", "number", "rendering"}
    assert not any("{" in phrase.text for phrase in one)


# ---------------------------------------------------------------- vocabulary


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> tuple[open_clip.SimpleTokenizer, open_clip.SimpleTokenizer]:
    file = tmp_path_factory.mktemp("bpe") / "bpe.txt.gz"
    merges = small_merges(["umbrella", "hatching", "snail"], most_frequent=300)
    size = write_merges(file, merges)
    small = open_clip.SimpleTokenizer(bpe_path=str(file), context_length=32)
    assert small.vocab_size == size == 512 + len(merges) + 2
    return small, open_clip.SimpleTokenizer()


def test_known_words_are_cut_as_clip_cuts_them(tokenizers: tuple[open_clip.SimpleTokenizer, open_clip.SimpleTokenizer]) -> None:
    small, stock = tokenizers
    for word in ("umbrella", "hatching", "snail", "umbrella with hatching"):
        pieces = [[t.decoder[i] for i in t.encode(word)] for t in (small, stock)]
        if " " not in word:
            assert pieces[0] == pieces[1]
        assert small.decode(small.encode(word)).strip() == word


@given(st.text(max_size=40))
def test_any_text_becomes_tokens(tokenizers: tuple[open_clip.SimpleTokenizer, open_clip.SimpleTokenizer], text: str) -> None:
    small, stock = tokenizers
    assert small.decode(small.encode(text)) == stock.decode(stock.encode(text))
    row = small([text])[0]
    assert int(row.max()) == small.eot_token_id == small.vocab_size - 1
    assert row.shape == (32,)


def test_merges_keep_clip_s_order_and_bytes_are_reproducible(tmp_path: Path) -> None:
    merges = small_merges(["parallel"], most_frequent=10)
    stock = stock_merges()
    assert merges[:10] == stock[:10]
    assert [stock.index(m) for m in merges] == sorted(stock.index(m) for m in merges)
    write_merges(tmp_path / "a", merges)
    write_merges(tmp_path / "b", merges)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# ---------------------------------------------------------------- data


def test_seed_ranges_do_not_meet() -> None:
    assert pool.train_seed(0) == 1_000_000
    assert pool.train_seed(999_999) < pool.held_out_seed(0) == 2_000_000
    for seed in (-1, 1_000_000):
        with pytest.raises(InputError, match="--seed"):
            pool.train_seed(seed)
        with pytest.raises(InputError, match="--seed"):
            pool.held_out_seed(seed)


@pytest.mark.parametrize("rendering", drawn.RENDERINGS)
def test_training_sees_what_the_encoder_will_see(tiny_model: Path, rendering: str) -> None:
    some = pool.draw_pool(4, 9, rendering, CPU)
    trained = (pool.prepare(some.images, 64) - pool.MEAN) / pool.STD
    used = load_encoder(f"local-dir:{tiny_model}", device="cpu").pixels(drawn.draw(4, 9, rendering).images)
    # PIL rounds to 8 bits (0.008 after normalisation) and clips after each of its two passes, so single pixels may differ more.
    assert float((trained - used).abs().mean()) < 0.004
    assert float((trained - used).abs().max()) < 0.15


def test_batches_share_the_renderings_and_are_seeded() -> None:
    pools = [pool.draw_pool(20, 9, rendering, CPU) for rendering in drawn.RENDERINGS]
    one, two = (pool.sample(pools, 12, 64, np.random.default_rng(1)) for _ in range(2))
    assert one.renderings.tolist() == [0] * 6 + [1] * 6
    assert one.pixels.shape == (12, 3, 64, 64)
    torch.testing.assert_close(one.pixels, two.pixels, rtol=0, atol=0)
    assert float(one.pixels.abs().max()) <= 1


def test_schedule() -> None:
    factors = [pool.cosine_with_warmup(step, 100, 0.1) for step in range(101)]
    assert factors[9] == factors[10] == 1
    assert factors[0] == pytest.approx(0.1)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)


def test_cut_padding_changes_nothing(tiny_model: Path) -> None:
    model, tokenize = build(tiny_model, seed=3)
    tokens = tokenize(["a sketch of a house", "lines", "a photo of a cat with three curves"])
    with torch.no_grad():
        torch.testing.assert_close(encode_text(model, tokens), model.encode_text(tokens), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- a run


def test_a_short_run_gives_a_model_and_is_reproducible(tmp_path: Path, tiny: Recipe) -> None:
    events: list[Event] = []
    before = torch.random.get_rng_state()
    steps, _ = train(tmp_path / "a", tiny, CPU, events.append)
    assert torch.equal(before, torch.random.get_rng_state())  # no global seed was touched
    assert steps == 3
    assert events[-1].step == events[-1].total == 3
    assert events[-1].metrics["loss"] > 0
    train(tmp_path / "b", tiny, CPU, silent)
    for name in ("open_clip_model.safetensors", "open_clip_config.json", "bpe.txt.gz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    train(tmp_path / "c", dataclasses.replace(tiny, seed=1), CPU, silent)
    a, c = (load_encoder(f"local-dir:{tmp_path / name}", device="cpu") for name in "ac")
    assert a.weights_sha256 != c.weights_sha256
    assert np.isfinite(a.images([Image.new("L", (64, 64), 255)])).all()


def test_minutes_train_as_steps_would(tmp_path: Path, tiny: Recipe) -> None:
    steps, _ = train(tmp_path / "minutes", tiny, CPU, silent, minutes=1e-6)
    assert steps == 1
    train(tmp_path / "steps", dataclasses.replace(tiny, steps=1), CPU, silent)
    by_time, by_steps = (load_encoder(f"local-dir:{tmp_path / name}", device="cpu") for name in ("minutes", "steps"))
    assert by_time.weights_sha256 == by_steps.weights_sha256


def test_the_command_writes_a_card(
    tmp_path: Path, tiny: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sae_core.clip.train_bundled import __main__ as command

    monkeypatch.setattr(command, "RECIPE", tiny)
    monkeypatch.setattr(command, "HELD_OUT_IMAGES", 60)
    assert main(["--out", str(tmp_path), "--steps", "2", "--scenes", "60", "--device", "cpu"]) == 0
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "--steps 2 --scenes 60 --seed 0" in card
    assert "bundled demo model" in card
    printed = capsys.readouterr().err
    for rendering in drawn.RENDERINGS:
        assert f"{rendering}: accuracy 0." in printed
        assert f"| {rendering} | 60 | 0." in card
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    assert config["model_cfg"]["embed_dim"] == 16


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--seed", "1000000"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
