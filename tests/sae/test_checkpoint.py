"""Saved states: two are kept, a damaged one is known, and an older sound one stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sae_core.errors import InputError
from sae_core.sae import checkpoint
from sae_core.sae.checkpoint import State


def state(step: int) -> State:
    return State(step, {"third": 1 / 3, "logs": {"a": step}}, {"w": torch.full((50,), float(step)), "n": torch.tensor(step)})


def never(text: str) -> None:
    raise AssertionError(text)


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))


def test_a_state_comes_back_exactly_and_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 20, 300):
        checkpoint.save(tmp_path, state(step))
    found = checkpoint.load(tmp_path, never)
    assert found is not None
    assert found.step == 300
    assert found.facts["third"] == 1 / 3
    assert torch.equal(found.tensors["w"], torch.full((50,), 300.0))
    assert len(list(tmp_path.iterdir())) == 2


def test_no_state(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path, never) is None
    assert checkpoint.load(tmp_path / "missing", never) is None


@pytest.mark.parametrize("how", ["flipped bit", "cut short", "emptied"])
def test_a_damaged_state_is_named_and_the_one_before_it_used(tmp_path: Path, how: str) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, state(step))
    latest = sorted(tmp_path.iterdir())[-1]
    if how == "flipped bit":
        damage(latest)
    else:
        latest.write_bytes(latest.read_bytes()[: 40 if how == "cut short" else 0])
    said: list[str] = []
    found = checkpoint.load(tmp_path, said.append)
    assert found is not None
    assert found.step == 1
    assert len(said) == 1
    assert latest.name in said[0]


def test_when_none_is_sound_the_user_is_told_what_to_delete(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1))
    damage(next(tmp_path.iterdir()))
    with pytest.raises(InputError, match=r"checkpoint state-000000001-.* is damaged and no older one is sound; delete"):
        checkpoint.load(tmp_path, never)


def test_half_written_files_are_no_states(tmp_path: Path) -> None:
    (tmp_path / ".state-000000009-0123456789abcdef.safetensors.7.tmp").write_bytes(b"half")
    assert checkpoint.load(tmp_path, never) is None
