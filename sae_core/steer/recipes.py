"""Recipes from where they are kept: JSON text, a file, or a link that carries the whole recipe.

    link = "r1." + base64url(zlib(JSON without the fields at their defaults))

A link is letters, digits, `-`, `_` and one dot, so that it needs no escaping in an address; `?recipe=r1...` of one is found.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from pathlib import Path

from sae_core.config import Recipe, validate
from sae_core.errors import InputError

MOST = 1_000_000
"""Bytes of JSON that no recipe needs; a larger file, or a link that unpacks to more, is refused."""
LINK = re.compile(r"(?:^|[?&]recipe=)r1\.([A-Za-z0-9_-]+={0,2})(?:[&#]|$)")
REMEDY = "give a recipe.json that steering wrote, or a link to one"


def to_link(recipe: Recipe) -> str:
    """The recipe as one URL-safe word, which `read_recipe` reads back to an equal one; about 250 characters with both hashes."""
    packed = zlib.compress(recipe.model_dump_json(exclude_defaults=True).encode(), 9)
    return "r1." + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_recipe(source: str | Path) -> Recipe:
    """A recipe from JSON text (anything that begins with a brace), from a link (or an address that holds one) or from a file.

    Raises:
        InputError: no such file, a damaged link, no JSON, another version, an unknown key, a value that is impossible.
    """
    text = str(source).strip()
    if text.startswith("{"):
        return _parsed(text, "recipe")
    if isinstance(source, str) and (found := LINK.search(text)):
        return _parsed(_unpacked(found[1]), "recipe link")
    return _parsed(_file(Path(source)), str(source))


def _file(file: Path) -> str:
    if not file.is_file():
        raise InputError(f"no recipe file at {file}; {REMEDY}")
    if file.stat().st_size > MOST:
        raise InputError(f"{file} has {file.stat().st_size} bytes, too many for a recipe; {REMEDY}")
    try:
        return file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"cannot read {file}: {error}; {REMEDY}") from None


def _unpacked(word: str) -> str:
    try:
        packed = base64.urlsafe_b64decode(word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4))
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MOST)
        if not unpacker.eof:
            raise InputError(f"the recipe link is cut short, or unpacks to more than {MOST} bytes; {REMEDY}")
        return data.decode("utf-8")
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"the recipe link is damaged: {error}; copy the whole of it, or {REMEDY}") from None


def _parsed(text: str, where: str) -> Recipe:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}; {REMEDY}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{where} holds no recipe (a JSON object); {REMEDY}")
    return validate(Recipe, raw, where)
