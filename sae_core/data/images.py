"""Opening a picture from anywhere: every format and mode becomes plain RGB, and anything else is refused in one line.

Pictures come from folders, the Hub, archives and strangers' uploads, so the decoder is given nothing it could be hurt
with: known raster formats only, the size is read before a pixel is decoded, and whatever a decoder raises is an InputError.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from sae_core.config import public
from sae_core.errors import InputError

T = TypeVar("T")
MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What is decoded (JPEG includes MPO, which some phones write). No EPS, PDF or SVG: those are programs."""
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
THUMBNAIL = 96


def open_image(source: bytes | str | Path, name: str | None = None) -> Image.Image:
    """Open a picture as RGB, turned as its EXIF says, the first frame, on white where it is transparent.

    Args:
        source: the encoded bytes, or a path.
        name: what to call it in a message; by default the path, or "the picture".

    Returns: a loaded RGB image, at least 1x1.
    Raises: InputError on a missing, truncated or broken file, one above 100 megapixels (in public 25), SVG, and whatever is
        no picture.
    """
    try:
        return to_rgb(decode(source, name)[0])
    except InputError as error:
        if public.is_public():
            public.refused("a picture", error)
        raise


def decode(
    source: bytes | str | Path, name: str | None = None, at_least: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a picture's first frame, turned upright, in whatever mode it has.

    Args:
        source, name: as `open_image`.
        at_least: when only this many pixels a side are wanted, JPEGs are decoded at a fraction of their size.

    Returns: the image, and the full width and height in pixels as it is looked at.
    """
    name = name or (str(source) if isinstance(source, (str, Path)) else "the picture")
    data = source if isinstance(source, bytes) else _read(Path(source), name)
    if not data:
        raise InputError(f"{name} is empty; give a PNG, JPEG, WebP, BMP, GIF or TIFF picture")
    image = _decoding(lambda: Image.open(io.BytesIO(data), formats=FORMATS), data, name)
    size = image.size
    if size[0] * size[1] > _most_pixels():
        raise InputError(_huge(name, f"is {size[0]}x{size[1]} pixels"))
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    upright, turned = _decoding(lambda: _upright(image), data, name)
    return upright, size[::-1] if turned else size


def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL image as RGB: CMYK, palette and grey converted, 16 bits scaled to 8, transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image.alpha_composite(layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def thumbnail(image: Image.Image, size: int = THUMBNAIL) -> bytes:
    """A WebP of an RGB image at most `size` pixels wide and high; smaller pictures keep their size."""
    small = image.copy()
    small.thumbnail((size, size), Image.Resampling.BOX if min(image.size) > 4 * size else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """A lossless PNG, compressed for speed."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}; give the path of a picture") from None


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image as its EXIF says it is looked at, and whether that made width and height change places."""
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    return ImageOps.exif_transpose(image), turned


def _decoding(step: Callable[[], T], data: bytes, name: str) -> T:
    try:
        return step()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(_huge(name, "is too large")) from None
    except UnidentifiedImageError:
        raise InputError(f"{name} {_what_it_is(data)}; give a PNG, JPEG, WebP, BMP, GIF or TIFF picture") from None
    except MemoryError:
        raise InputError(_huge(name, "does not fit into memory")) from None
    except Exception as error:
        # A damaged file can make a decoder raise nearly anything (OSError, SyntaxError, struct.error, IndexError, ...).
        reason = str(error).strip().splitlines()
        raise InputError(f"{name} is broken: {reason[0][:120] if reason else type(error).__name__}; replace it") from None


def _most_pixels() -> int:
    return min(MAX_PIXELS, public.LIMITS.upload_pixels) if public.is_public() else MAX_PIXELS


def _huge(name: str, what: str) -> str:
    return f"{name} {what}, above the limit of {_most_pixels() // 1_000_000} megapixels; make it smaller"


def _what_it_is(data: bytes) -> str:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!doctype", b"<!--")) and b"<svg" in head):
        return "is an SVG drawing, which is not read"
    if b"\0" not in data[:4096] and not any(byte > 0xF7 for byte in data[:4096]):
        return "is text, not a picture"
    return "is not a picture"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or floating point as 8 bits: the range is judged by the largest value, as no file says it."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = float(values.max(initial=0.0))
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and top > 255)
    if sixteen and top <= 65535:
        full = 65535.0
    elif image.mode == "F" and top <= 1.0:
        full = 1.0
    else:
        full = 255.0 if top <= 255 else top
    return Image.fromarray(np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8))
