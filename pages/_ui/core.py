"""The few functions of the core that pages work with beside its public list, all reached from here."""

from __future__ import annotations

import importlib
from typing import Any


def core(module: str) -> Any:
    """A module of the core by its name below `sae_core`, such as `steer.scene`; loaded when it is first needed."""
    return importlib.import_module(f"sae_core.{module}")
