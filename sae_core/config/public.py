"""What strangers may ask of an app that is public (`SAE_LAB_PUBLIC=1`): every limit stands here, and is enforced by the core.

Pages show the limits before the click; `check` refuses what is above them wherever a job is started, and the worker again.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sae_core.config.data import ArraySource, DrawnSource, FolderSource, HubSource
from sae_core.config.sae import SaeConfig
from sae_core.config.stages import RunConfig
from sae_core.config.sweep import SweepRun
from sae_core.errors import InputError

VARIABLE = "SAE_LAB_PUBLIC"
HUB_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?")
"""A data set of the Hub by name: nothing that begins like a path or leads upwards."""
COPY = "run your own copy for more"
_LOG = logging.getLogger("sketch_sae_lab")


@dataclass(frozen=True)
class Limits:
    """How much a stranger gets. Bytes and pixels count, seconds are of the clock."""

    images: int = 8000
    """Of all domains of a run together."""
    width: int = 4096
    steps: int = 2000
    epochs: float = 50.0
    batch: int = 4096
    members: int = 12
    """Dictionaries of one sweep."""
    job_seconds: float = 900.0
    upload_bytes: int = 10_000_000
    upload_pixels: int = 25_000_000
    visit_uploads: int = 40
    """Files that one visit may send."""
    visitors_bytes: int = 4_000_000_000
    """Disk for what all visitors made; above it what was used least recently goes."""
    caches: int = 500
    """Visitors who made something, at a time."""
    kept_seconds: float = 86_400.0
    """How long what a visitor made is kept after its last use."""

    def words(self) -> str:
        """The limits of a job, as a form shows them."""
        return (
            f"at most {self.images:,} images, {self.width:,} latents, {self.steps:,} steps, {self.members} members of a sweep "
            f"and {self.job_seconds / 60:.0f} minutes"
        )


LIMITS = Limits()


def is_public() -> bool:
    """Whether strangers use this app."""
    return os.environ.get(VARIABLE, "") == "1"


def refused(what: str, detail: object = "") -> None:
    """Write a refusal to the server's log: one line, whatever the stranger sent quoted and cut."""
    _LOG.warning("refused: %s %s", what, repr(str(detail))[:120] if detail != "" else "")


def check(config: RunConfig, shared: Iterable[RunConfig] = ()) -> None:
    """Refuse a configuration that a stranger may not run.

    Args:
        config: what is asked for.
        shared: configurations of the runs that everyone sees: their data and CLIP are here already and may be used as they are.

    Raises: InputError, one line that names the setting, its value and the limit.
    """
    if not any(config.data == one.data and config.clip == one.clip for one in shared):
        _check_data(config)
    if config.interpret.vocabulary_file is not None:
        raise InputError("interpret.vocabulary_file: a public app reads no file of its server")
    _check_training(config.sae)
    if config.sweep is not None:
        members = SweepRun(sae=config.sae, sweep=config.sweep).members()
        _most("sweep: members", len(members), LIMITS.members)
        for member in members.values():
            _check_training(member)
    for name, value, most in (
        ("evaluate.bootstrap", config.evaluate.bootstrap, 10_000),
        ("interpret.random_directions", config.interpret.random_directions, 2000),
        ("steer.random_directions", config.steer.random_directions, 200),
        ("scan.images", config.scan.images, 64),
        ("geometry.draws", config.geometry.draws, 10_000),
        ("collect.batch_rows", config.collect.batch_rows, 65_536),
    ):
        _most(name, value, most)


def _check_data(config: RunConfig) -> None:
    total = 0
    for domain, source in config.data.items():
        match source:
            case FolderSource() | ArraySource():
                raise InputError(f"data.{domain}: a public app reads no folder of its server; choose the drawn world or the Hub")
            case HubSource(name=name, limit=limit):
                check_hub_name(name, f"data.{domain}.name")
                if limit is None:
                    raise InputError(f"data.{domain}.limit: say how many images, {LIMITS.images:,} at most")
                total += limit
            case DrawnSource(n=n, size=size):
                _most(f"data.{domain}.size", size or 0, 128)
                total += n
    _most("data: images of all domains", total, LIMITS.images)
    if config.clip.model != "bundled":
        raise InputError(f"clip.model {config.clip.model[:40]!r}: a public app trains on the bundled demo model alone; {COPY}")


def check_hub_name(name: str, where: str) -> None:
    """Refuse what is no plain name of a data set on the Hub. Raises InputError."""
    if not HUB_NAME.fullmatch(name):
        raise InputError(f"{where} {name[:40]!r} is no data set of the Hub; write it as owner/name")


def _check_training(sae: SaeConfig) -> None:
    _most("sae.width", sae.width, LIMITS.width)
    _most("sae.steps", sae.steps or 0, LIMITS.steps)
    _most("sae.epochs", sae.epochs or 0, LIMITS.epochs)
    _most("sae.seconds", sae.seconds or 0, LIMITS.job_seconds)
    _most("sae.batch_size", sae.batch_size, LIMITS.batch)


def _most(name: str, value: float, most: float) -> None:
    if value > most:
        raise InputError(f"{name} = {value:,g} is above this public app's limit of {most:,g}; {COPY}")
