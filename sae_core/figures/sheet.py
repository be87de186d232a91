"""Sheets of small pictures as one picture file, for papers and downloads."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def image_grid(
    tiles: Sequence[Image.Image],
    captions: Sequence[str],
    colours: Sequence[str],
    heading: str = "",
    columns: int = 4,
    cell: int = 112,
) -> Image.Image:
    """A sheet of pictures on white: each fitted into a square with a frame in its colour and one line of text below it.

    Args:
        tiles, captions, colours: one of each a picture; heading: at most two lines above them.
        columns: pictures a row; cell: side of a picture in pixels.

    Raises:
        ValueError: the three sequences differ in length.
    """
    if not len(tiles) == len(captions) == len(colours):
        raise ValueError(f"{len(tiles)} tiles, {len(captions)} captions and {len(colours)} colours must be as many")
    gap, line = 8, 18
    font, bold = ImageFont.load_default(13), ImageFont.load_default(15)
    wrapped = textwrap.wrap(heading, max(12, (columns * (cell + gap)) // 8))[:2]
    top = gap + (line + 3) * len(wrapped)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (gap + columns * (cell + gap), top + rows * (cell + line + gap) + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for nth, text in enumerate(wrapped):
        pen.text((gap, gap // 2 + nth * (line + 3)), text, fill="#111827", font=bold)
    for place, (tile, caption, colour) in enumerate(zip(tiles, captions, colours, strict=True)):
        left, upper = gap + place % columns * (cell + gap), top + place // columns * (cell + line + gap)
        picture = tile.convert("RGB")
        scale = (cell - 4) / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        # Small pictures are blown up without blurring, so that a 32-pixel photo looks like what CLIP was shown.
        picture = picture.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (cell - size[0]) // 2, upper + (cell - size[1]) // 2))
        pen.rectangle((left, upper, left + cell - 1, upper + cell - 1), outline=colour, width=2)
        pen.text((left + 2, upper + cell + 1), _fitted(caption, font, cell - 4), fill="#374151", font=font)
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
