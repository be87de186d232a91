"""Recipes that are kept with a dictionary: `said/<train key>/recipes/<name>.json`, each a file that `steer --recipe` replays."""

from __future__ import annotations

import re
from pathlib import Path

from sae_core.config import Recipe
from sae_core.errors import InputError
from sae_core.interpret.said import said_folder, writing
from sae_core.steer.recipes import read_recipe
from sae_core.store import Store, write_atomic

FOLDER = "recipes"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,63}")
MOST = 200
"""Recipes of one dictionary that are kept."""


def saved_recipes(store: Store, run_id: str) -> dict[str, Path]:
    """The recipes kept with a run's dictionary: file by name, in the order of their names. Raises InputError: no such run."""
    folder = said_folder(store, run_id) / FOLDER
    return {file.stem: file for file in sorted(folder.glob("*.json")) if NAME.fullmatch(file.stem)}


def load_recipe(store: Store, run_id: str, name: str) -> Recipe:
    """A recipe kept with a run's dictionary. Raises InputError: none of this name, or what `read_recipe` refuses."""
    known = saved_recipes(store, run_id)
    if name not in known:
        raise InputError(f"no recipe {name[:64]!r} is kept with {run_id}; there are {', '.join(known) or 'none'}")
    return read_recipe(known[name])


def save_recipe(store: Store, run_id: str, name: str, recipe: Recipe) -> Path:
    """Keep a recipe with a run's dictionary; returns its file. The same name with the same recipe is kept once.

    Raises: InputError for a name that is none, one that another recipe has, too many recipes, a folder that cannot be written.
    """
    name = name.strip()
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:64]!r} is no name for a recipe; use letters, digits, spaces, . _ - (at most 64, a letter first)"
        )
    folder = said_folder(store, run_id) / FOLDER
    file = folder / f"{name}.json"
    with writing(folder, file.name):
        known = saved_recipes(store, run_id)
        if name in known:
            if read_recipe(file) != recipe:
                raise InputError(f"a recipe {name!r} is kept already and is another one; choose another name")
            return file
        if len(known) >= MOST:
            raise InputError(f"{len(known)} recipes are kept with this dictionary; remove some of {folder}")
        write_atomic(file, recipe.to_json().encode())
    return file
