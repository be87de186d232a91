"""The draw page: the paper, where a picture on it comes from, what the dictionary reads in it, and what changed."""

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=8)
def asset(name: str) -> str:
    """The text of a script or style sheet beside this file."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
