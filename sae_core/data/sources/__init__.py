"""The sources of images. Each module fingerprints its content, collects it, and says what it needs from outside."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sae_core.config import ArraySource, DrawnSource, FolderSource, HubSource, Runtime, Source
from sae_core.data.sources.collected import Collected
from sae_core.progress import Report

_MODULES = {DrawnSource: "drawn", FolderSource: "folder", HubSource: "hub", ArraySource: "arrays"}


def _module(config: Source) -> Any:
    # Imported when used, so that drawing needs no `datasets` and listing a folder no `cv2`.
    return importlib.import_module(f"sae_core.data.sources.{_MODULES[type(config)]}")


def fingerprint(config: Source, cache_dir: Path | None = None) -> str:
    """Hex digest of a source's content, the same wherever it lies; file hashes are remembered in `cache_dir`."""
    return str(_module(config).fingerprint(config, cache_dir))


def collect(config: Source, out_dir: Path, report: Report, runtime: Runtime) -> Collected:
    """Read a source, writing what is large (thumbnails, pictures, truth) into `out_dir`."""
    found: Collected = _module(config).collect(config, out_dir, report, runtime)
    return found


def requirements_of(config: Source) -> dict[str, Any]:
    """What a source needs from outside, for `doctor`: `what`, `from`, `size` in words, `present`. Fetches nothing."""
    match config:
        case DrawnSource():
            return {"what": f"{config.n} drawings", "from": "drawn here", "size": "nothing to fetch", "present": True}
        case FolderSource() | ArraySource():
            present = Path(config.path).expanduser().is_dir()
            return {"what": f"folder {config.path}", "from": "this machine", "size": "local", "present": present}
        case HubSource():
            from sae_core.data.sources import hub

            return hub.requirements(config)
