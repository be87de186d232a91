"""A configuration that can be given away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sae_core.config import RunConfig, dump_yaml, override, parse_yaml, validate


def portable(config: RunConfig) -> RunConfig:
    """The same configuration with every local path cut to its last part: no result depends on where a folder lies."""
    cut = [f"{key}={json.dumps(Path(value).name or 'data')}" for key, value in _local(config)]
    raw = parse_yaml(dump_yaml(config), "the run's configuration")
    return validate(RunConfig, override(raw, cut), "the run's configuration")


def _local(config: RunConfig) -> Iterator[tuple[str, str]]:
    for domain, source in config.data.items():
        if source.source in ("folder", "arrays"):
            yield f"data.{domain}.path", source.path
    if config.interpret.vocabulary_file is not None:
        yield "interpret.vocabulary_file", config.interpret.vocabulary_file
