"""What publication needs to know of a run (a `pipeline.Run`, which stands after it): by node, the artifacts' keys and folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sae_core.config import RunConfig


class Run(Protocol):
    """A run, or the part of it that is made."""

    @property
    def id(self) -> str: ...
    @property
    def config(self) -> RunConfig: ...
    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def keys(self) -> Mapping[str, str]: ...
    @property
    def paths(self) -> Mapping[str, Path]: ...
