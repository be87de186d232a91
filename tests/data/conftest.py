"""Small pictures and folders of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

Picture = Callable[..., Image.Image]


def picture(seed: int, size: tuple[int, int] = (80, 60), mode: str = "RGB") -> Image.Image:
    """A line drawing that depends on the seed only: a few thick strokes on white."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        ends = (rng.random(4) * np.tile(size, 2)).tolist()
        pen.line(ends, fill=tuple(rng.integers(0, 120, 3).tolist()), width=3)
    return image.convert(mode)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(name="picture")
def picture_fixture() -> Picture:
    """`picture(seed, size, mode)`: a line drawing."""
    return picture


@pytest.fixture(name="encode")
def encode_fixture() -> Callable[..., bytes]:
    """`encode(image, kind, **options)`: the bytes of a file."""
    return encode


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """`make_folder({"cat": 3, "dog": 4})`: a folder of class subfolders with that many different pictures."""

    def make(classes: dict[str, int], name: str = "pictures", first: int = 0) -> Path:
        root = tmp_path / name
        seed = first
        for folder, count in classes.items():
            (root / folder).mkdir(parents=True)
            for number in range(count):
                (root / folder / f"x{number}.png").write_bytes(encode(picture(seed)))
                seed += 1
        return root

    return make
