"""The activation store's benchmark measures what it says, on a small store."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import index
from sae_core.activations.index import Activations


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("store")
    return folder, index.write(3000, folder)


def test_codes_are_distinct_skewed_and_the_same_again() -> None:
    (latents, values), (again, _) = next(index.codes(500)), next(index.codes(500))
    assert np.array_equal(latents, again)
    kept = [row[value > 0] for row, value in zip(latents, values, strict=True)]
    assert all(len(set(row.tolist())) == len(row) <= index.K for row in kept)
    counts = np.sort(np.bincount(np.concatenate(kept), minlength=index.M))[::-1]
    assert counts[:80].sum() > counts.sum() / 4


def test_a_store_is_written_and_asked(store: tuple[Path, dict[str, float]]) -> None:
    folder, written = store
    assert Activations.load(folder).n == 3000
    assert written["megabytes"] == pytest.approx(sum(f.stat().st_size for f in folder.iterdir()) / 1e6)
    assert written["peak"] >= written["before"] > 0
    asked = index.ask(folder)
    assert all(value > 0 for value in asked.values())
    first, second = index.rows(3000, written, asked)
    assert first[0] == "3,000"
    assert [row[1] for row in second] == ["top 16", "histogram", "co-activation", "quantile sample"]


def test_the_command_writes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- begin index -->\n<!-- end index -->\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["index", "--sizes", "500", "--folder", str(tmp_path), "--readme", str(readme)])
    assert index.main() == 0
    text = readme.read_text(encoding="utf-8")
    assert "| 500 | top 16 |" in text
    assert not [one for one in tmp_path.iterdir() if one.is_dir()]
