"""A strip as a file: PNG for slides, SVG (paths stay paths, pictures are embedded), GIF (the sweep there and back)."""

from __future__ import annotations

import base64
import io
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from sae_core.figures import CONTROL, SAE
from sae_core.interpret.visualize import drawable
from sae_core.steer.strip import Cell, Strip

SIDE = 128
"""Of a picture, in pixels."""
GAP, LINE = 8, 18
FRAME_MS = 450
INK, PALE = "#111827", "#4b5563"
SVG = "http://www.w3.org/2000/svg"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def strip_png(strip: Strip) -> bytes:
    """The strip as one picture on white: title, both rows with strengths below, the unsteered column framed, and the note."""
    width, tops, height = _layout(strip)
    sheet = Image.new("RGB", (width, height), "white")
    pen, font, bold = ImageDraw.Draw(sheet), ImageFont.load_default(13), ImageFont.load_default(15)
    pen.text((GAP, GAP), drawable(strip.title), fill=INK, font=bold)
    for (title, cells), top in zip(strip.rows, tops, strict=True):
        pen.text((GAP, top), drawable(title), fill=PALE, font=font)
        for nth, cell in enumerate(cells):
            left, upper = GAP + nth * (SIDE + GAP), top + LINE
            sheet.paste(_fitted(cell.picture, SIDE - 4), (left + 2, upper + 2))
            _frame(pen, left, upper, nth == strip.unsteered)
            pen.text((left + 2, upper + SIDE + 1), _below(strip, nth, cell), fill=INK, font=font)
    for nth, line in enumerate(_note(strip, width)):
        pen.text((GAP, height - GAP - LINE * (len(_note(strip, width)) - nth)), line, fill=PALE, font=font)
    return encoded(sheet, "PNG")


def strip_svg(strip: Strip) -> str:
    """The strip as an SVG document with a title and a description; it runs nothing and loads nothing.

    A cell that has a document of paths is drawn with them; any other picture is embedded as PNG.
    """
    ET.register_namespace("", SVG)
    width, tops, height = _layout(strip)
    root = ET.Element(f"{{{SVG}}}svg", {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"})
    root.set("role", "img")
    root.set("font-family", "sans-serif")
    ET.SubElement(root, f"{{{SVG}}}title").text = strip.title
    ET.SubElement(root, f"{{{SVG}}}desc").text = strip.note
    ET.SubElement(root, f"{{{SVG}}}rect", {"width": str(width), "height": str(height), "fill": "#ffffff"})
    _text(root, GAP, GAP + 14, strip.title, 15, INK)
    for (title, cells), top in zip(strip.rows, tops, strict=True):
        _text(root, GAP, top + 13, title, 13, PALE)
        for nth, cell in enumerate(cells):
            left, upper = GAP + nth * (SIDE + GAP), top + LINE
            root.append(_picture(cell, left + 2, upper + 2, SIDE - 4))
            frame = {"x": str(left + 1), "y": str(upper + 1), "width": str(SIDE - 2), "height": str(SIDE - 2), "fill": "none"}
            marked = nth == strip.unsteered
            frame |= {"stroke": SAE if marked else CONTROL, "stroke-width": "3" if marked else "1"}
            ET.SubElement(root, f"{{{SVG}}}rect", frame)
            _text(root, left + 2, upper + SIDE + 14, _below(strip, nth, cell), 13, INK)
    lines = _note(strip, width)
    for nth, line in enumerate(lines):
        _text(root, GAP, height - GAP - LINE * (len(lines) - nth) + 13, line, 13, PALE)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def strip_gif(strip: Strip) -> bytes:
    """The sweep there and back, without end: the latent's picture beside the random direction's, a frame a step."""
    count = len(strip.strengths)
    order = [*range(count), *range(count - 2, 0, -1)]
    frames = [_gif_frame(strip, nth).quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for nth in order]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, disposal=1)
    return out.getvalue()


STRIP_FILES: dict[str, Callable[[Strip], bytes]] = {
    "png": strip_png,
    "svg": lambda strip: strip_svg(strip).encode(),
    "gif": strip_gif,
}
"""How a strip is written, by the file's ending."""


def _gif_frame(strip: Strip, nth: int) -> Image.Image:
    side = 2 * SIDE
    lines = textwrap.wrap(drawable(strip.note), (2 * side) // 7)
    frame = Image.new("RGB", (2 * side + 3 * GAP, side + LINE * (2 + len(lines)) + 3 * GAP), "white")
    pen, font = ImageDraw.Draw(frame), ImageFont.load_default(13)
    for column, (title, cells) in enumerate(strip.rows):
        left = GAP + column * (side + GAP)
        pen.text((left, GAP), _cut(drawable(title), font, side), fill=INK, font=font)
        frame.paste(_fitted(cells[nth].picture, side), (left, GAP + LINE))
        pen.text((left, GAP + LINE + side + 2), _below(strip, nth, cells[nth]), fill=PALE, font=font)
    for at, line in enumerate(lines):
        pen.text((GAP, 2 * GAP + 2 * LINE + side + at * LINE), line, fill=PALE, font=font)
    return frame


def _layout(strip: Strip) -> tuple[int, list[int], int]:
    """Width, where each row begins, height."""
    width = GAP + len(strip.strengths) * (SIDE + GAP)
    row = 2 * LINE + SIDE + GAP
    first = 2 * GAP + LINE
    tops = [first + nth * row for nth in range(len(strip.rows))]
    return width, tops, first + len(strip.rows) * row + LINE * len(_note(strip, width)) + GAP


def _note(strip: Strip, width: int) -> list[str]:
    return textwrap.wrap(drawable(strip.note), max(20, width // 7))


def _below(strip: Strip, nth: int, cell: Cell) -> str:
    said = [f"{strip.strengths[nth]:.2f} x", "unsteered" if nth == strip.unsteered else "", cell.caption]
    return ", ".join(part for part in said[:2] if part) if nth == strip.unsteered else ", ".join(part for part in said if part)


def _frame(pen: ImageDraw.ImageDraw, left: int, upper: int, marked: bool) -> None:
    box = (left, upper, left + SIDE - 1, upper + SIDE - 1)
    pen.rectangle(box, outline=SAE if marked else CONTROL, width=3 if marked else 1)


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """A picture in the middle of a white square, small ones blown up without blurring."""
    rgb = picture.convert("RGB")
    scale = side / max(rgb.size)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    rgb = rgb.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), "white")
    square.paste(rgb, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _picture(cell: Cell, x: int, y: int, side: int) -> ET.Element:
    place = {"x": str(x), "y": str(y), "width": str(side), "height": str(side)}
    if cell.svg is not None:
        drawn = ET.fromstring(cell.svg)  # our own decoder's document, no stranger's  # noqa: S314
        for name, value in place.items():
            drawn.set(name, value)
        return drawn
    data = base64.b64encode(encoded(_fitted(cell.picture, SIDE), "PNG")).decode()
    return ET.Element(f"{{{SVG}}}image", {**place, "href": f"data:image/png;base64,{data}"})


def _text(root: ET.Element, x: int, y: int, text: str, size: int, colour: str) -> None:
    ET.SubElement(root, f"{{{SVG}}}text", {"x": str(x), "y": str(y), "font-size": str(size), "fill": colour}).text = text


def _cut(text: str, font: Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    """A picture as the bytes of a file of this kind."""
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()
