"""Written here, loaded by the real packages: their codes and reconstructions are ours, to 1e-5.

Runs where a Python with those packages is found: `SAE_LAB_PEERS`, or the environment of `requirements-peers.txt` in `.peers`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sae_core.sae.architectures import SAE
from sae_core.sae.formats import FORMATS
from tests.sae.formats.examples import EVERY, FIXTURES, margins, near, random_sae

ROOT = Path(__file__).parents[3]
# Also what SAELens makes of a dictionary_learning file, which it reads with a loader of its own.
READERS = {"dictionary_learning": "dictionary_learning", "saelens": "saelens", "sparsify": "sparsify"}
READERS["saelens_of_dictionary_learning"] = "dictionary_learning"
CASES = [(reader, kind.kind) for reader, form in READERS.items() for kind in EVERY if FORMATS[form].holds(kind.kind)]


def dictionary(kind: str) -> SAE:
    """Wider than the fixtures, and of CLIP's sizes: a mean whose length is many times a row's distance from it."""
    (architecture,) = (one for one in EVERY if one.kind == kind)
    return random_sae(architecture, 24, 64, scale=4.0, shift=2.0, seed=5, encoder="ViT-B-32/openai")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of every dictionary in every format, each with what the real package computed of it."""
    named = os.environ.get("SAE_LAB_PEERS")
    python = Path(named) if named else ROOT / ".peers" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"no Python with the other packages at {python} (requirements-peers.txt says how, SAE_LAB_PEERS where)")
    root = tmp_path_factory.mktemp("live")
    np.save(root / "x.npy", near(dictionary("topk"), 40), allow_pickle=False)
    for reader, kind in CASES:
        dictionary(kind).save(root / reader / kind, format=READERS[reader])
    done = subprocess.run(
        [python, FIXTURES / "make.py", "read", root],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.parametrize(("reader", "kind"), CASES)
def test_the_real_package_computes_the_same(reader: str, kind: str, loaded: Path) -> None:
    sae, x = dictionary(kind), np.load(loaded / "x.npy", allow_pickle=False)
    kept = margins(sae, x) > 1e-4
    assert kept.sum() >= len(x) // 2
    codes, x_hat = (np.load(loaded / reader / kind / f"{name}.npy", allow_pickle=False)[kept] for name in ("codes", "x_hat"))
    ours = sae(x[kept])
    np.testing.assert_allclose(x_hat, ours, rtol=0, atol=1e-5 * np.abs(ours).max())
    expected = sae.encode(x[kept])
    if READERS[reader] == "dictionary_learning" and kind == "relu_l1":
        expected = expected * sae.decoder_raw.norm(dim=1).numpy()
    np.testing.assert_allclose(codes, expected, rtol=0, atol=1e-5 * expected.max())
