"""The network and the drawing from it, with random weights: probabilities, caches, choices, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sae_core.clip.encoder import Encoder, load_encoder
from sae_core.data import drawn
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.progress import Event
from sae_core.steer.decoders.catalogue import STROKES, decoders_for, find_decoder
from sae_core.steer.decoders.decoder import check_encoder
from sae_core.steer.strokes.curves import fit
from sae_core.steer.strokes.decoder import BundledStrokes, StrokeDecoder, read_model, write_model
from sae_core.steer.strokes.model import Shape, StrokeModel
from sae_core.steer.strokes.sampling import draw
from sae_core.steer.strokes.tokens import ATTRIBUTES, CHOSEN, CLOSE, END, GO, LONGEST, NEW, VOCABULARY, encode


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(device="cpu")


@pytest.fixture(scope="module")
def model() -> StrokeModel:
    torch.manual_seed(3)
    made = StrokeModel(Shape(128, 32, 2, 2)).eval().requires_grad_(False)
    made.logits_bias[0, END] += 1.0  # so that its drawings end before they are as long as can be
    return made


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((3, 128)).astype(np.float32)


def example(index: int) -> torch.Tensor:
    return torch.from_numpy(encode(fit(drawn.scene(2_345_678, index))))


def test_step_by_step_with_a_cache_is_the_whole_at_once(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    x, tokens = torch.from_numpy(rows[:1]), example(3)[None]
    whole = model(x, tokens)
    condition, inputs, cache = model.read(x), model.start[None], []
    for at in range(tokens.shape[1] + 1):
        state, cache = model.step(condition, inputs, at, cache)
        torch.testing.assert_close(state, whole[:, at], atol=1e-4, rtol=1e-4)
        if at < tokens.shape[1]:
            inputs = model.embed(tokens[:, at])


def test_a_later_curve_changes_no_earlier_state(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    x, tokens = torch.from_numpy(rows[:1]), example(3)[None]
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 5
    before, after = model(x, tokens), model(x, other)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_the_loss_is_the_sum_of_what_each_choice_costs(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    examples = [example(0), example(3)]
    lengths = torch.tensor([len(e) for e in examples])
    tokens = torch.zeros((2, int(lengths.max()), len(ATTRIBUTES)), dtype=torch.long)
    for i, e in enumerate(examples):
        tokens[i, : len(e)] = e
    loss, parts = model.loss(torch.from_numpy(rows[:2]), tokens, lengths)
    total, count = 0.0, 0
    for i, e in enumerate(examples):
        states = model(torch.from_numpy(rows[i : i + 1]), e[None])[0]
        for state, target in zip(states, [*e, torch.zeros(len(ATTRIBUTES), dtype=torch.long)], strict=True):
            for a in range(len(ATTRIBUTES)):
                if CHOSEN[target[0], a]:
                    total -= float(torch.log_softmax(model.attribute(a, state[None])[0], dim=0)[target[a]])
                state = state + model.chosen(a, target[a : a + 1])[0]
            count += 1
    assert float(loss) == pytest.approx(total / count, rel=1e-4)
    assert float(parts.sum()) == pytest.approx(float(loss), rel=1e-5)


def test_only_the_direction_of_an_embedding_is_read(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    x = torch.from_numpy(rows)
    torch.testing.assert_close(model.read(x), model.read(x * 7))


def test_drawings_obey_the_pen(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    model, pens = copy.deepcopy(model), set()
    for trial in range(20):  # the likeliest choices of random weights are dull: each trial prefers other pens
        model.logits_bias.data[0] = torch.randn(model.logits_bias.shape[1], generator=torch.Generator().manual_seed(trial))
        tokens = draw(model, torch.from_numpy(rows[trial % len(rows)]))
        assert len(tokens) <= LONGEST
        assert tokens[0, 0] != END
        before = None
        for row in tokens[: list(tokens[:, 0]).index(END) if END in tokens[:, 0] else len(tokens)]:
            assert (row >= 0).all()
            assert (row < np.array(VOCABULARY)).all()
            if row[0] in (GO, CLOSE):
                assert before is not None
                assert before[0] in (NEW, GO)
                np.testing.assert_array_equal(row[1:4], [before[1], *before[4:6]])
            before = row
            pens.add(int(row[0]))
    assert {NEW, GO, CLOSE} <= pens


def test_every_choice_is_the_likeliest(model: StrokeModel, rows: NDArray[np.float32]) -> None:
    tokens = draw(model, torch.from_numpy(rows[0]))
    states = model(torch.from_numpy(rows[:1]), torch.from_numpy(tokens)[None])[0]
    for at, curve in enumerate(tokens[:-1]):
        state = states[at][None]
        for a, value in enumerate(curve.tolist()):
            if a and CHOSEN[curve[0], a]:
                logits = model.attribute(a, state)[0]
                assert logits[value] == pytest.approx(float(logits.max()), abs=1e-4)
            state = state + model.chosen(a, torch.tensor([value]))


def test_same_row_same_drawing_whatever_else_is_drawn(model: StrokeModel, encoder: Encoder, rows: NDArray[np.float32]) -> None:
    decoder = StrokeDecoder(model, encoder)
    told: list[Event] = []
    together = decoder.decode(rows, seed=11, report=told.append)
    assert [event.step for event in told] == [1, 2, 3]
    single = [decoder.decode(rows[i : i + 1], seed=12)[0] for i in (2, 0, 1)]
    assert [p.tobytes() for p in single] == [together[i].tobytes() for i in (2, 0, 1)]
    assert together[0].mode == "RGB"
    assert together[0].size == (256, 256)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((1, 128)), "zero"),
        (np.full((1, 128), np.nan), "NaN"),
        (np.ones((1, 64)), "64"),
    ],
)
def test_bad_rows_are_refused(bad: NDArray[np.floating], said: str, model: StrokeModel, encoder: Encoder) -> None:
    with pytest.raises(InputError, match=said):
        StrokeDecoder(model, encoder).strokes(bad.astype(np.float32))


def test_another_encoder_is_refused(model: StrokeModel, encoder: Encoder) -> None:
    decoder = StrokeDecoder(model, encoder)
    check_encoder(decoder, "bundled/v1")
    with pytest.raises(InputError, match="ViT-B-32/openai"):
        check_encoder(decoder, "ViT-B-32/openai")
    with pytest.raises(InputError, match="64"):
        StrokeDecoder(StrokeModel(Shape(64, 32, 1, 2)), encoder)


def test_weights_go_to_disk_and_back_and_damage_is_named(model: StrokeModel, tmp_path: Path) -> None:
    path = tmp_path / "strokes.safetensors"
    with pytest.raises(Unavailable, match="train_strokes"):
        BundledStrokes(path).load()
    write_model(model, path)
    back = read_model(path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value.half().float(), rtol=0, atol=0)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.with_suffix(".sha256").read_text()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match=r"strokes\.sha256"):
        read_model(path)


def test_it_is_found_by_id_and_offered_first_where_it_is_present(
    model: StrokeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_decoder("drawn-strokes") is STROKES
    assert STROKES not in decoders_for("ViT-L-14/openai")
    monkeypatch.setattr(STROKES, "weights", tmp_path / "strokes.safetensors")
    assert decoders_for("bundled/v1") == []
    write_model(model, tmp_path / "strokes.safetensors")
    assert decoders_for("bundled/v1") == [STROKES]
    needs = STROKES.needs()
    assert needs["present"]
    assert "generated" in needs["what"]
    assert dataclasses.asdict(STROKES.load().model.shape) == dataclasses.asdict(model.shape)
