"""Training the stroke decoder, tiny: batches, the loss goes down, a run goes on from its checkpoint bit for bit, the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sae_core.clip.encoder import load_encoder
from sae_core.clip.train_bundled.pool import HELD_OUT_SEEDS, train_seed
from sae_core.data import drawn
from sae_core.errors import InputError
from sae_core.progress import Event, silent
from sae_core.steer.strokes.seeing import inked
from sae_core.steer.strokes.tokens import ATTRIBUTES, BINS, decode
from sae_core.steer.train_strokes import __main__ as command
from sae_core.steer.train_strokes import pool as pools
from sae_core.steer.train_strokes.loop import Recipe, begin, load_checkpoint, rate, run, save_checkpoint
from sae_core.steer.train_strokes.pool import TRAIN_SEED, Pool, batches, draw_pool, draw_shard, moved, scene

TINY = Recipe(steps=30, batch_size=16, scenes=64, warmup=3, width=32, layers=1, heads=2, lr=5e-3)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_shard(load_encoder(device="cpu"), 2_345_678, 0, 64)


def test_the_pool_holds_each_scene_and_what_is_seen_of_it(pool: Pool) -> None:
    encoder = load_encoder(device="cpu")
    assert len(pool) == 64
    for i in (0, 11, 40):
        item = scene(2_345_678, i)
        assert (item.label == -1) == (i % 12 == 11)
        back = inked(decode(pool.tokens[i, : pool.lengths[i]].astype(np.int64)))
        assert np.abs(back.astype(float) - drawn.render(item)).mean() < 10
        seen = encoder.images([drawn.render(item, "sketch"), drawn.render(item, "photo")])
        cosine = (seen * pool.x[i]).sum(axis=1) / np.linalg.norm(seen, axis=1) / np.linalg.norm(pool.x[i], axis=1)
        assert cosine.min() > 0.99


def test_what_is_learned_from_is_neither_tested_on_nor_the_clips_own() -> None:
    assert train_seed(0) < TRAIN_SEED < HELD_OUT_SEEDS


def test_shards_on_disk_are_read_back_and_cut_where_asked(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SHARD", 32)
    told: list[Event] = []
    made = draw_pool(tmp_path, 50, 2_345_678, told.append)
    assert len(told) == 2
    np.testing.assert_array_equal(made.tokens, pool.tokens[:50])
    np.testing.assert_allclose(made.x, pool.x[:50], rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(pools, "draw_shard", lambda *_: pytest.fail("drawn again"))
    np.testing.assert_array_equal(draw_pool(tmp_path, 50, 2_345_678, silent).x, made.x)


def test_an_epoch_of_batches_has_every_drawing_once(pool: Pool) -> None:
    source = batches(pool, 16, 0.0, 0, seed=1)
    lengths = np.concatenate([next(source).lengths.numpy() for _ in range(len(pool) // 16)])
    np.testing.assert_array_equal(np.sort(lengths), np.sort(pool.lengths))


def test_batches_begin_anywhere_in_the_same_series(pool: Pool) -> None:
    source = batches(pool, 16, 0.3, 2, seed=1)
    series = [next(source) for _ in range(9)]
    for first in (1, 3, 4, 8):
        batch = next(batches(pool, 16, 0.3, 2, seed=1, first=first))
        assert torch.equal(batch.x, series[first].x)
        assert torch.equal(batch.tokens, series[first].tokens)


def test_noise_is_of_the_length_asked(pool: Pool) -> None:
    batch = next(batches(pool, 64, 0.2, 0, seed=1))
    plain = next(batches(pool, 64, 0.0, 0, seed=1))
    share = (batch.x - plain.x).norm(dim=1) / plain.x.norm(dim=1)
    assert float(share.min()) > 0
    assert float(share.max()) < 0.2 * 1.4
    assert float(share.mean()) == pytest.approx(0.1, abs=0.03)


def test_a_moved_drawing_keeps_its_shape_and_stays_in_the_frame() -> None:
    tokens = np.full((40, 3, len(ATTRIBUTES)), 64, dtype=np.int64)
    tokens[:, 0, 2:6] = (1, 20, BINS - 1, 30)
    lengths = np.full(40, 2)
    out = moved(tokens, lengths, 5, np.random.default_rng(0))
    by = out[:, :2, 2:6] - tokens[:, :2, 2:6]
    assert (by[:, :, ::2] == by[:, :1, :1]).all()
    assert set(by[:, 0, 0].tolist()) == {-1, 0}, "at the right edge already, and a cell from the left"
    assert by[:, 0, 1].min() == -5
    assert by[:, 0, 1].max() == 5
    np.testing.assert_array_equal(out[:, 2], tokens[:, 2])
    np.testing.assert_array_equal(out[:, :, 6:], tokens[:, :, 6:])


def test_thirty_steps_lower_the_loss_on_drawings_and_on_ones_not_seen(pool: Pool) -> None:
    training = begin(pool, TINY)
    batch = next(batches(pool, 64, 0.0, 0, seed=9))
    before = float(training.model.loss(batch.x, batch.tokens, batch.lengths)[0].detach())
    told: list[Event] = []
    run(training, pool, told.append)
    assert [event.step for event in told] == [20, 30]
    assert float(training.model.loss(batch.x, batch.tokens, batch.lengths)[0].detach()) < before - 2
    assert float(training.average.loss(batch.x, batch.tokens, batch.lengths)[0]) < before - 2


def test_a_run_goes_on_bit_for_bit(pool: Pool, tmp_path: Path) -> None:
    whole = begin(pool, TINY)
    run(whole, pool, silent)
    half = begin(pool, TINY)

    class Stopped(Exception):
        pass

    def stop(event: Event) -> None:
        save_checkpoint(half, tmp_path / "c.pt")
        raise Stopped

    with pytest.raises(Stopped):
        run(half, pool, stop)
    rest = load_checkpoint(tmp_path / "c.pt", TINY)
    assert rest.step == 20
    run(rest, pool, silent)
    for made, again in ((whole.model, rest.model), (whole.average, rest.average)):
        for name, value in made.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name


def test_checkpoints_of_another_run_are_refused(pool: Pool, tmp_path: Path) -> None:
    training = begin(pool, TINY)
    training.step = 25
    save_checkpoint(training, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"lr 0\.005"):
        load_checkpoint(tmp_path / "c.pt", dataclasses.replace(TINY, lr=1e-3))
    with pytest.raises(InputError, match="way down"):
        load_checkpoint(tmp_path / "c.pt", dataclasses.replace(TINY, steps=60))
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(tmp_path / "c.pt", TINY)


def test_the_rate_does_not_know_the_end_before_its_way_down() -> None:
    longer = dataclasses.replace(TINY, steps=60)
    down = round(TINY.steps * (1 - TINY.decay))
    assert [rate(s, TINY) for s in range(down)] == [rate(s, longer) for s in range(down)]
    assert rate(0, TINY) == pytest.approx(TINY.lr / TINY.warmup)
    assert 0 < rate(TINY.steps - 1, TINY) < TINY.lr / 5


def test_the_command_writes_weights_and_a_card_and_refuses_seeds_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pools, "SHARD", 32)
    monkeypatch.setattr(command, "RECIPE", dataclasses.replace(TINY, steps=3))
    sizes = ["--steps", "3", "--scenes", "32", "--width", "32", "--layers", "1", "--lr", "0.005", "--held-out", "6"]
    assert command.main(["--out", str(tmp_path / "out"), *sizes]) == 0
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "--steps 3" in card
    assert "generated" in card
    assert "does not pass" in card
    assert (tmp_path / "out" / "strokes.safetensors").is_file()
    assert command.main(["--out", str(tmp_path / "out"), *sizes, "--lr", "0.1"]) == 2
    assert "was made with lr 0.005" in capsys.readouterr().err
    assert command.main(["--out", str(tmp_path / "other"), *sizes, "--seed", "500000"]) == 2
    assert "--seed" in capsys.readouterr().err
