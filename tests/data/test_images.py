"""Opening pictures: every mode becomes the RGB it should, everything else is refused in one line."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sae_core.data.images import MAX_PIXELS, decode, open_image, png, thumbnail, to_rgb
from sae_core.errors import InputError

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_opens_as_rgb(picture, encode, kind: str) -> None:
    original = picture(1)
    opened = open_image(encode(original, kind))
    assert opened.mode == "RGB"
    assert opened.size == original.size
    off = np.abs(np.asarray(opened, dtype=float) - np.asarray(original, dtype=float)).mean()
    assert off < (8 if kind in ("JPEG", "WEBP") else 1.5 if kind == "GIF" else 1e-9)


def test_transparency_lies_on_white(encode) -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    opened = open_image(encode(image))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]


def test_half_transparent_black_is_middle_grey(encode) -> None:
    assert open_image(encode(Image.new("LA", (1, 1), (0, 128)))).getpixel((0, 0)) == (127, 127, 127)


def test_palette_with_a_transparent_colour(encode) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    opened = open_image(encode(image, transparency=1))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]


def test_sixteen_bit_grey_is_scaled_not_clipped(encode) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    opened = np.asarray(open_image(encode(Image.fromarray(values))))[0, :, 0]
    assert opened.tolist() == [0, 1, 128, 255]


def test_floating_point_tiff_in_unit_range(encode) -> None:
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert np.asarray(open_image(encode(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_red_is_red(encode) -> None:
    opened = open_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))
    assert opened.getpixel((4, 4)) == RED


def test_one_bit_and_one_pixel(encode) -> None:
    assert open_image(encode(Image.new("1", (1, 1), 1))).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_the_size_is_the_one_looked_at(encode, orientation: int) -> None:
    upright = np.zeros((4, 6, 3), dtype=np.uint8)
    upright[0, 0] = RED  # the corner that must come out at the top left
    undo = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, size = decode(encode(stored, exif=exif))
    assert size == image.size == (6, 4)
    assert to_rgb(image).getpixel((0, 0)) == RED


def test_the_first_frame_of_an_animation(encode) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert open_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])).getpixel((0, 0)) == RED


def test_a_jpeg_decoded_small_still_reports_its_full_size(picture, encode) -> None:
    data = encode(picture(2, (1600, 1200)), "JPEG")
    image, size = decode(data, at_least=192)
    assert size == (1600, 1200)
    assert 192 <= min(image.size) < 1200


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello, I am a text file\n" * 20, "is text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "is an SVG"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg></svg>", "is an SVG"),
        (b"\x00\x01\x02\xff" * 50, "is not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is text"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "fake.png"
    file.write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        open_image(file)
    assert "fake.png" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_truncated_file_is_refused(picture, encode, kind: str) -> None:
    data = encode(picture(3, (200, 150)), kind)
    with pytest.raises(InputError, match=r"is broken|is not a picture"):
        open_image(data[: len(data) // 2], "half.x")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header says it is huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
def test_a_huge_picture_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"limit of {MAX_PIXELS // 10**6} megapixels"):
        open_image(bomb(*size), "bomb.png")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            open_image(path)


@given(st.binary(min_size=1, max_size=400), st.integers(0, 300))
def test_no_bytes_raise_anything_but_input_error(noise: bytes, at: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, "PNG")
    data = buffer.getvalue()
    broken = data[:at] + noise + data[at + len(noise) :]
    # Anything else that is raised fails the test.
    with contextlib.suppress(InputError):
        assert open_image(broken).mode == "RGB"


def test_thumbnails_keep_their_shape(picture) -> None:
    small = Image.open(io.BytesIO(thumbnail(picture(1, (400, 200)))))
    assert (small.format, small.size) == ("WEBP", (96, 48))
    assert Image.open(io.BytesIO(thumbnail(picture(1, (30, 20))))).size == (30, 20)


def test_png_is_lossless(picture) -> None:
    image = picture(5)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), np.asarray(image))
