"""A frozen manifest read back: its rows, and the picture, thumbnail, embedding or drawing behind each of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from sae_core.data.fingerprints import last_place
from sae_core.data.images import open_image, png
from sae_core.data.pack import ENCODED, THUMBNAILS, Pack
from sae_core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from sae_core.data.drawn import Scene

Index = npt.NDArray[np.int64]


class Manifest:
    """A frozen manifest, read back. Pictures are opened when asked for."""

    def __init__(self, folder: Path) -> None:
        import pandas as pd

        self.folder = folder
        self.table: pd.DataFrame = pd.read_parquet(folder / "rows.parquet")
        classes = _read(folder / "classes.json")
        self.classes: list[str] = classes["names"]
        self.class_folders: list[str] = classes["folders"]
        self.problems: list[dict[str, str]] = _read(folder / "problems.json")
        self.source: dict[str, Any] = _read(folder / "source.json")

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read the manifest in an artifact's folder."""
        return cls(Path(folder))

    @property
    def n(self) -> int:
        """How many pictures (rows)."""
        return len(self.table)

    def __len__(self) -> int:
        return self.n

    @property
    def kind(self) -> str:
        """drawn, folder, hub or arrays."""
        return str(self.source["kind"])

    @property
    def rendering(self) -> str:
        """sketch or photo."""
        return str(self.source["rendering"])

    @cached_property
    def labels(self) -> Index:
        """Class of each row as an index into `classes`, -1 for none; int64 [n]."""
        return self.table["label"].to_numpy(dtype=np.int64)

    @cached_property
    def groups(self) -> Index:
        """Near-duplicate group of each row (its smallest row); int64 [n]."""
        return self.table["group"].to_numpy(dtype=np.int64)

    @property
    def captions(self) -> list[str | None]:
        """Caption of each row, None where there is none."""
        return [text if isinstance(text, str) else None for text in self.table["caption"]]

    def split_rows(self, name: Literal["train", "test"]) -> Index:
        """The rows of one side of the split, ascending; int64."""
        if name not in ("train", "test"):
            raise InputError(f"no split {name!r}; give train or test")
        return np.flatnonzero((self.table["split"] == name).to_numpy()).astype(np.int64)

    def metrics(self) -> dict[str, float]:
        """Counts: `n`, `train`, `test`, `classes`, `captioned`, `near_duplicates` (all but one of each group), `problems`."""
        test = len(self.split_rows("test"))
        counts = {
            "n": self.n,
            "train": self.n - test,
            "test": test,
            "classes": len(self.classes),
            "captioned": sum(caption is not None for caption in self.captions),
            "near_duplicates": self.n - len(np.unique(self.groups)),
            "problems": len(self.problems),
        }
        return {name: float(count) for name, count in counts.items()}

    # ------------------------------------------------------------ pictures

    @property
    def has_images(self) -> bool:
        """Whether any row has a picture (precomputed embeddings may come without)."""
        return bool((self._widths > 0).any())

    def has_image(self, row: int) -> bool:
        """Whether this row has a picture."""
        return bool(self._widths[self._checked(row)] > 0)

    def image(self, row: int) -> Image.Image:
        """The picture of a row, RGB, upright, full size. Raises InputError when it has none or it is gone."""
        row = self._checked(row)
        if self._pixels is not None:
            return Image.fromarray(self._pixels[row]).convert("RGB")
        file = str(self.table["file"].iat[row])
        if self._encoded is not None:
            return open_image(self._encoded[row], file)
        if not self.has_image(row):
            raise InputError(f"row {row} ({file}) has no picture, only an embedding")
        if self.kind == "arrays":
            from sae_core.data.sources.arrays import find_picture

            file = find_picture(self.root, file) or file
        return open_image(self.root / file, f"{file} in {self.root}")

    def images(self, rows: Iterable[int]) -> list[Image.Image]:
        """The pictures of several rows, in that order."""
        return [self.image(int(row)) for row in rows]

    def thumbnail(self, row: int) -> bytes:
        """A row's small picture (PNG or WebP, at most 96 px; drawings at their own size); a crossed box where it has none."""
        return self._thumbnails[self._checked(row)] or _no_picture()

    @cached_property
    def _widths(self) -> Index:
        return self.table["width"].to_numpy(dtype=np.int64)

    @cached_property
    def _thumbnails(self) -> Pack:
        return Pack(self.folder, THUMBNAILS)

    @cached_property
    def _pixels(self) -> npt.NDArray[np.uint8] | None:
        path = self.folder / "images.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    @cached_property
    def _encoded(self) -> Pack | None:
        return Pack(self.folder, ENCODED) if (self.folder / ENCODED[0]).is_file() else None

    @property
    def root(self) -> Path:
        """The folder the pictures or embeddings lie in: where they were last seen, else where they were read from.

        Raises: InputError when it is gone, or this kind of source has none.
        """
        hint = self.source.get("root")
        if hint is None:
            raise InputError(f"a manifest of kind {self.kind} has no folder outside the cache")
        seen = last_place(self.folder.resolve().parent.parent, str(self.source["fingerprint"]))
        for place in (seen, hint):
            if place is not None and Path(place).is_dir():
                return Path(place)
        raise InputError(f"the folder {hint} this manifest was made from is gone; run again with path set to where it lies now")

    def _checked(self, row: int) -> int:
        if not 0 <= row < self.n:
            raise InputError(f"no row {row}; the manifest has rows 0 to {self.n - 1}")
        return int(row)

    # ------------------------------------------------------------ embeddings of array sources

    @property
    def has_embeddings(self) -> bool:
        """Whether the source came with image embeddings."""
        return self.kind == "arrays"

    @property
    def width(self) -> int | None:
        """Width of the embeddings that came with the source, or None."""
        return int(self.source["width"]) if self.has_embeddings else None

    def embedding_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Rows `start` to `stop` of the image embeddings, raw, float32 [stop - start, width], read where they lie.

        Raises: InputError when the source has none, or the arrays are gone or have another shape than they had.
        """
        if not self.has_embeddings:
            raise InputError(f"a manifest of kind {self.kind} has no embeddings; run the embed stage")
        if not 0 <= start <= stop <= self.n:
            raise InputError(f"no rows {start} to {stop}; the manifest has {self.n}")
        return self._array("image", start, stop)

    def text_rows(self) -> npt.NDArray[np.float32] | None:
        """The text embedding of every row, float32 [n, width], or None when there are none."""
        has = self.has_embeddings and self.source["arrays"]["text"]
        return self._array("text", 0, self.n) if has else None

    def _array(self, which: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        from sae_core.data.sources.arrays import open_array

        parts = [open_array(self.root, name) for name in self.source["arrays"][which]]
        rows, width = sum(map(len, parts)), int(self.source["width"])
        if rows != self.n or any(part.shape[1] != width for part in parts):
            raise InputError(f"the arrays in {self.root} are not the {self.n} x {width} of this manifest any more; run again")
        out = np.empty((stop - start, width), dtype=np.float32)
        offset = 0
        for part in parts:
            low, high = max(start - offset, 0), min(stop - offset, len(part))
            if low < high:
                out[low + offset - start : high + offset - start] = part[low:high]
            offset += len(part)
        return out

    # ------------------------------------------------------------ ground truth of drawings

    @cached_property
    def truth(self) -> pd.DataFrame | None:
        """Counts of every primitive and `strokes` (a scene as JSON) of each drawing; None for other sources."""
        import pandas as pd

        path = self.folder / "truth.parquet"
        return pd.read_parquet(path) if path.is_file() else None

    def scene(self, row: int) -> Scene | None:
        """The drawing of a row as strokes, ready to be redrawn; None for other sources."""
        path = self.folder / "truth.parquet"
        if not path.is_file():
            return None
        from pyarrow.parquet import ParquetFile

        from sae_core.data.drawn import Scene

        row = self._checked(row)
        with ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                size = file.metadata.row_group(number).num_rows
                if row < size:
                    strokes = file.read_row_group(number, columns=["strokes"])["strokes"][row].as_py()
                    return Scene.from_json(strokes)
                row -= size
        raise AssertionError("truth.parquet has fewer rows than the manifest")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _no_picture() -> bytes:
    """A light box with a cross, PNG: what stands for a picture that is not there."""
    side = 64
    box = np.full((side, side), 244, dtype=np.uint8)
    step = np.arange(side)
    box[step, step] = box[step, step[::-1]] = 200
    box[[0, -1], :] = box[:, [0, -1]] = 200
    return png(Image.fromarray(box))
