"""Precomputed embeddings: `.npy` arrays with a table beside them that says what each row is.

Two layouts are known. Flat: `image_embeddings.npy` (or the only array there), `text_embeddings.npy` if there is one,
`metadata.csv` or `metadata.parquet`, pictures under `images/` if there are any. clip-retrieval's: `img_emb/img_emb_<i>.npy`,
`text_emb/text_emb_<i>.npy`, `metadata/metadata_<i>.parquet`, part after part. The arrays are not copied: they are read where
they lie.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sae_core.config import ArraySource, Runtime
from sae_core.data.duplicates import SIDE
from sae_core.data.fingerprints import digest, hash_files, remember_place
from sae_core.data.pack import THUMBNAILS, PackWriter
from sae_core.data.sources.collected import Collected, Described, Item, Problem, describe_all
from sae_core.data.sources.folder import check_classes, checked_root, natural
from sae_core.data.sources.imagenet import class_names
from sae_core.errors import InputError
from sae_core.progress import Event, Report

if TYPE_CHECKING:
    import pandas as pd

IMAGE_NAMES = ("image_embeddings.npy", "img_emb.npy", "embeddings.npy")
TEXT_NAMES = ("text_embeddings.npy", "text_emb.npy")
FILE_COLUMNS = ("file", "image_path", "filename", "path")
CHECK_ROWS = 65_536


@dataclass(frozen=True)
class Layout:
    """Which files of a folder are the arrays and the table, relative to `root`."""

    root: Path
    image: tuple[str, ...]
    text: tuple[str, ...]
    metadata: tuple[str, ...]


def find_layout(path: str) -> Layout:
    """Find arrays and metadata. Raises InputError when one is missing or cannot be told."""
    root = checked_root(path)
    parts = _parts(root, "img_emb", ".npy")
    if parts:
        return Layout(root, parts, _parts(root, "text_emb", ".npy"), _required(root, _parts(root, "metadata", ".parquet")))
    arrays = sorted(p.name for p in root.glob("*.npy"))
    text = [name for name in TEXT_NAMES if name in arrays]
    image = [name for name in IMAGE_NAMES if name in arrays] or [name for name in arrays if name not in TEXT_NAMES]
    if not image:
        raise InputError(f"no embeddings in {path}; put image_embeddings.npy there, or img_emb/img_emb_0.npy")
    if len(image) > 1 and image[0] not in IMAGE_NAMES:
        raise InputError(f"cannot tell which array in {path} holds the images ({', '.join(image)}); name it image_embeddings.npy")
    tables = tuple(name for name in ("metadata.csv", "metadata.parquet") if (root / name).is_file())
    return Layout(root, (image[0],), tuple(text[:1]), _required(root, tables[:1]))


def _parts(root: Path, folder: str, suffix: str) -> tuple[str, ...]:
    found = (p.relative_to(root).as_posix() for p in (root / folder).glob(f"{folder}_*{suffix}"))
    return tuple(sorted(found, key=natural))


def _required(root: Path, tables: tuple[str, ...]) -> tuple[str, ...]:
    if not tables:
        raise InputError(f"no metadata in {root}; put metadata.csv or metadata.parquet there, a row for each row of the array")
    return tables


def open_array(root: Path, name: str) -> npt.NDArray[np.floating]:
    """Memory-map one array. Raises InputError unless it is a two-dimensional array of floating-point numbers."""
    try:
        array = np.load(root / name, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else str(error).splitlines()[0][:120]
        raise InputError(f"cannot read {name} in {root}: {reason}; save it with numpy.save as float32 [rows, width]") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2:
        shape = getattr(array, "shape", "several arrays")
        raise InputError(f"{name} in {root} has shape {shape}; embeddings are [rows, width]")
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
        raise InputError(f"{name} in {root} has dtype {array.dtype}; embeddings are float16, float32 or float64")
    return array


def _check(root: Path, names: tuple[str, ...], width: int | None) -> tuple[int, int]:
    """Check every value of an array in parts; returns its rows and width."""
    rows = 0
    for name in names:
        array = open_array(root, name)
        if width is not None and array.shape[1] != width:
            raise InputError(f"{name} in {root} is {array.shape[1]} wide instead of {width}; give embeddings of one encoder")
        width = array.shape[1]
        for start in range(0, len(array), CHECK_ROWS):
            part = np.asarray(array[start : start + CHECK_ROWS], dtype=np.float32)
            bad = np.flatnonzero(~np.isfinite(part).all(axis=1))
            if len(bad):
                raise InputError(
                    f"row {start + bad[0]} of {name} in {root} holds NaN or infinity "
                    f"({len(bad)} such rows in this part); embed those images again or drop them"
                )
            zero = np.flatnonzero(~part.any(axis=1))
            if len(zero):
                raise InputError(f"row {start + zero[0]} of {name} in {root} is all zeros; embed that image again or drop it")
        rows += len(array)
    assert width is not None
    return rows, width


def read_metadata(layout: Layout) -> pd.DataFrame:
    """The table, part after part. Raises InputError when a part cannot be read."""
    import pandas as pd

    tables = []
    for name in layout.metadata:
        try:
            path = layout.root / name
            if path.suffix == ".csv":
                tables.append(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig"))
            else:
                tables.append(pd.read_parquet(path))
        except (ValueError, OSError) as error:  # pandas' parser errors and pyarrow's are ValueErrors, bad UTF-8 too
            raise InputError(f"cannot read {name} in {layout.root}: {str(error).splitlines()[0][:120]}; mend it") from None
    return pd.concat(tables, ignore_index=True)


def fingerprint(config: ArraySource, cache_dir: Path | None) -> str:
    """The content of the arrays, the table and the pictures that are there."""
    layout = find_layout(config.path)
    pictures = [file for file in _pictures(layout, read_metadata(layout)) if file is not None]
    files = dict.fromkeys([*layout.image, *layout.text, *layout.metadata, *pictures])
    found = digest(hash_files(layout.root, list(files), cache_dir))
    remember_place(cache_dir, found, layout.root)
    return found


def _file_column(table: pd.DataFrame) -> str | None:
    return next((name for name in FILE_COLUMNS if name in table.columns), None)


def _pictures(layout: Layout, table: pd.DataFrame) -> list[str | None]:
    """For each row, where its picture lies relative to the root; None where there is none, or it lies outside."""
    column = _file_column(table)
    if column is None:
        return [None] * len(table)
    return [find_picture(layout.root, name) for name in table[column].astype(str)]


def find_picture(root: Path, name: str) -> str | None:
    """Where the picture called `name` lies relative to the root: there, or under `images/`; None when it does not.

    A name that is an absolute path, or has `..` or links in it, may lead anywhere on the machine: what it leads to must lie
    inside the root.
    """
    if not name or "\0" in name:
        return None
    for folder in (root, root / "images"):
        path = (folder / name).resolve()
        if path.is_relative_to(root) and path.is_file():
            return path.relative_to(root).as_posix()
    return None


def collect(config: ArraySource, out_dir: Path, report: Report, runtime: Runtime) -> Collected:
    """Check the arrays, read the table, make thumbnails of the pictures that are there.

    Raises: InputError on NaN, a wrong width, a table of another length, a missing column, one class only.
    """
    layout = find_layout(config.path)
    rows, width = _check(layout.root, layout.image, _width_of(config.encoder))
    if layout.text:
        texts, _ = _check(layout.root, layout.text, width)
        if texts != rows:
            raise InputError(f"{config.path} has {texts} text embeddings for {rows} images; give one for each, or none")
    table = read_metadata(layout)
    if len(table) != rows:
        short = "shorter" if len(table) < rows else "longer"
        name = layout.metadata[0] if len(layout.metadata) == 1 else "metadata/"
        raise InputError(f"{name} in {config.path} is {short} than the array: {len(table)} rows for {rows}; give one row each")
    if rows < 2:
        raise InputError(f"{config.path} has {rows} rows; give two at least, for training and for testing")
    if "row" in table.columns and list(map(str, table["row"])) != list(map(str, range(rows))):
        raise InputError(f"column row of {layout.metadata[0]} in {config.path} does not count 0, 1, 2, ...; sort the table by it")
    found = Collected(captions=_captions(config, table))
    _label(found, config, table)
    column = _file_column(table)
    found.files = [str(name) for name in table[column]] if column else [f"row/{i:06d}" for i in range(rows)]
    _add_pictures(found, layout, _pictures(layout, table), out_dir, report, runtime)
    found.source = {
        "kind": "arrays",
        "root": str(layout.root),
        "encoder": config.encoder,
        "width": width,
        "arrays": {"image": layout.image, "text": layout.text},
    }
    return found


def _width_of(encoder: str) -> int | None:
    """The width of an open_clip model's embeddings, or None for an encoder that open_clip does not know."""
    # open_clip's configurations are JSON files in its package; importing it would bring in torch for one number.
    package = importlib.util.find_spec("open_clip")
    folder = Path(next(iter((package and package.submodule_search_locations) or [""]))) / "model_configs"
    config = {path.stem: path for path in folder.glob("*.json")}.get(encoder.partition("/")[0])
    return None if config is None else int(json.loads(config.read_text(encoding="utf-8"))["embed_dim"])


def _captions(config: ArraySource, table: pd.DataFrame) -> list[str | None]:
    if config.caption_column is None or config.caption_column not in table.columns:
        if config.caption_column not in (None, "caption"):  # the default may be missing, a column asked for may not
            raise _no_column(config, config.caption_column, table)
        return [None] * len(table)
    return [text if isinstance(text, str) and text.strip() else None for text in table[config.caption_column]]


def _label(found: Collected, config: ArraySource, table: pd.DataFrame) -> None:
    column = config.label_column or ("label" if "label" in table.columns else None)
    if column is None:
        if not any(found.captions):
            raise InputError(
                f"{config.path} says neither class nor caption; its columns are {', '.join(map(str, table.columns))}: "
                "set label_column or caption_column"
            )
        found.labels = [-1] * len(table)
        return
    if column not in table.columns:
        raise _no_column(config, column, table)
    values = ["" if value is None or value != value else str(value).strip() for value in table[column]]
    found.folders = sorted(set(values) - {""}, key=natural)
    check_classes(found.folders, f"column {column} of {config.path}")
    if not found.folders:
        raise InputError(f"column {column} of {config.path} is empty; fill it, or leave label_column out")
    number = {folder: label for label, folder in enumerate(found.folders)}
    found.names = class_names(found.folders)
    found.labels = [number.get(value, -1) for value in values]


def _no_column(config: ArraySource, column: str | None, table: pd.DataFrame) -> InputError:
    return InputError(f"{config.path} has no column {column!r}; its columns are {', '.join(map(str, table.columns))}")


def _add_pictures(
    found: Collected, layout: Layout, pictures: list[str | None], out_dir: Path, report: Report, runtime: Runtime
) -> None:
    """Thumbnails, sizes, signatures and content hashes: of the picture where there is one, of the embedding elsewhere."""
    found.signatures = np.zeros((len(pictures), SIDE, SIDE), dtype=np.uint8)  # blank: like no other picture
    items = [Item(file, "", (layout.root / file).read_bytes) for file in pictures if file is not None]
    described = describe_all(items, runtime)
    if items:  # no picture at all is a way to keep embeddings; some missing is worth saying
        lost = [found.files[row] for row, file in enumerate(pictures) if file is None]
        found.problems += [Problem(file, "is named in the metadata but is not in the folder") for file in lost]
    row = 0
    with PackWriter(out_dir, THUMBNAILS) as thumbs:
        for name in layout.image:
            for embedding in open_array(layout.root, name):
                result = next(described)[1] if pictures[row] is not None else None
                if isinstance(result, Described):
                    found.content.append(result.content)
                    found.sizes.append(result.size)
                    found.signatures[row] = result.signature
                    thumbs.add(result.thumbnail)
                else:
                    if result is not None:
                        found.problems.append(result)
                    found.content.append(hashlib.sha256(np.ascontiguousarray(embedding).tobytes()).hexdigest())
                    found.sizes.append((0, 0))
                    thumbs.add(b"")
                row += 1
                if row % 256 == 0 or row == len(pictures):
                    report(Event("manifest", row, len(pictures), {"problems": float(len(found.problems))}))
