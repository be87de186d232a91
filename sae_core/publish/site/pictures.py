"""The pictures of a site: sheets of thumbnails that cards cut theirs from, and a montage for each latent in the gallery."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import islice
from typing import Any

from PIL import Image

from sae_core.browse.montage import GAP
from sae_core.interpret.visualize import image_tile
from sae_core.publish.site.material import Shown, readable

ACROSS = 8
"""Pictures a row and rows a sheet: a card that wants two of the 64 loads one file."""
LARGEST = 96
MONTAGE = 64
"""Pixels of each of the four pictures of a latent in the gallery."""
QUALITY = 78


class Pictures:
    """Numbers the pictures of each domain in the order in which they are asked for, and draws them.

    Who asks for the pictures of one latent together finds them on few sheets.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.domains = list(shown.acts.domains)
        self._numbers: list[dict[int, int]] = [{} for _ in self.domains]
        self._tile = lru_cache(4096)(self._read)

    def number(self, domain: int, image: int) -> int:
        """The number of a picture within its domain."""
        numbers = self._numbers[domain]
        return numbers.setdefault(image, len(numbers))

    def index(self) -> list[dict[str, Any]]:
        """Of each domain: whether pictures are shown, pixels of one, pictures a row of a sheet, and what each is.

        What they are is a number into `words`, which holds each word once.
        """
        out = []
        for name, numbers in zip(self.domains, self._numbers, strict=True):
            said = [self._shown.what(name, image) for image in numbers]
            words = list(dict.fromkeys(said))
            place = {word: nth for nth, word in enumerate(words)}
            shows = self._shown.shows(name)
            out.append(
                {
                    "shown": shows,
                    "side": self._side(name) if shows else 0,
                    "across": ACROSS,
                    "words": words,
                    "what": [place[word] for word in said],
                }
            )
        return out

    def sheets(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """File name and maker of every sheet."""
        for domain, (name, numbers) in enumerate(zip(self.domains, self._numbers, strict=True)):
            images = list(numbers)
            if not self._shown.shows(name):
                continue
            for start in range(0, len(images), ACROSS**2):
                part = images[start : start + ACROSS**2]
                yield sheet_name(domain, start // ACROSS**2), partial(self._sheet, name, part)

    def montage(self, latent: int) -> bytes | None:
        """The four strongest pictures that may be shown, WebP; None where there is none."""
        top = self._strongest(latent)
        if not top:
            return None
        step = MONTAGE + GAP
        sheet = Image.new("RGB", (2 * step - GAP,) * 2, "white")
        for at, (name, image) in enumerate(top):
            sheet.paste(self._fitted(name, image, MONTAGE), (at % 2 * step, at // 2 * step))
        return _webp(sheet)

    def _strongest(self, latent: int) -> list[tuple[str, int]]:
        acts = self._shown.acts
        found: list[tuple[float, str, int]] = []
        for name in filter(self._shown.shows, self.domains):
            top = acts.top(latent, 4, domain=name)
            found += [(-float(value), name, int(image)) for value, image in zip(top["value"], top["image"], strict=True)]
        return [(name, image) for _, name, image in sorted(found, key=lambda one: one[0])[:4]]

    def _sheet(self, name: str, images: list[int]) -> bytes:
        side = self._side(name)
        rows = -(-len(images) // ACROSS)
        sheet = Image.new("RGB", (ACROSS * side, rows * side), "white")
        for at, image in enumerate(images):
            sheet.paste(self._fitted(name, image, side), (at % ACROSS * side, at // ACROSS * side))
        return _webp(sheet)

    def _side(self, name: str) -> int:
        """Pixels of this domain's pictures: those of its first ones, at most LARGEST."""
        first = islice(self._numbers[self.domains.index(name)], ACROSS)
        return min(LARGEST, max((max(self._tile(name, image).size) for image in first), default=LARGEST))

    def _read(self, name: str, image: int) -> Image.Image:
        manifest = self._shown.manifests[name]
        return readable(f"picture {image} of {name}", lambda: image_tile(manifest, image, LARGEST).convert("RGB"))

    def _fitted(self, name: str, image: int, side: int) -> Image.Image:
        """A picture within a white square of `side` pixels; one of a few pixels stays crisp."""
        tile = self._tile(name, image)
        scale = side / max(tile.size)
        size = (max(1, round(scale * tile.width)), max(1, round(scale * tile.height)))
        if size != tile.size:
            tile = tile.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)
        square = Image.new("RGB", (side, side), "white")
        square.paste(tile, ((side - tile.width) // 2, (side - tile.height) // 2))
        return square


def sheet_name(domain: int, sheet: int) -> str:
    """`pictures/1-007.webp`: the second domain's eighth sheet."""
    return f"pictures/{domain}-{sheet:03d}.webp"


def montage_name(latent: int) -> str:
    """`latents/0012.webp`."""
    return f"latents/{latent:04d}.webp"


def _webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4)
    return out.getvalue()
