"""A run as a Docker Space: the app, this one run baked into it, and what a container needs. Public mode is on.

README.md  Dockerfile  .dockerignore  requirements.txt  app.py  serve.py  pages/  sae_core/  configs/  .streamlit/  demo/
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sae_core.config import dump_yaml
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.progress import Event, Report, silent
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.portable import portable
from sae_core.publish.run import Run
from sae_core.publish.scan import TOKENS, scan
from sae_core.publish.space.words import DOCKERIGNORE, dockerfile, readme
from sae_core.store import MANIFEST, Store, sha256_file, write_atomic

PORT = 7860
"""Where the app listens, and nothing else does."""
BAKED = "demo"
"""The folder of the baked run, a cache with nothing else in it."""
CODE = ("app.py", "serve.py", "requirements.txt", "pages", "sae_core", "configs", ".streamlit/config.toml")
NEEDED = ("train", "evaluate", "collect")
"""Stages without which there is nothing to browse."""
BINARY = frozenset((".npy", ".bin", ".safetensors", ".gz", ".webp", ".png"))
_MARK = "Dockerfile"


@dataclass(frozen=True)
class Bundle:
    """A written Space.

    Attributes:
        out: the folder.
        files: its files, relative, sorted.
        bytes: of all of them together.
    """

    out: Path
    files: tuple[str, ...]
    bytes: int


def write_bundle(run: Run, out: str | Path, report: Report = silent, *, licences: Licences = NOTHING) -> Bundle:
    """Write the Space of a run to a folder, which then builds and runs as it is.

    Every artifact is verified before it is copied and after. A secret, or a path of this machine, in any file stops it.

    Args:
        run: with at least its dictionary, evaluation and activations.
        out: a new or empty folder, or one that this function wrote, which is replaced.
        report: receives an event for every artifact.
        licences: what is stated of the images, which the Space shows to everyone.

    Raises:
        InputError: nothing to browse yet, images of an unstated licence, another folder in the way, a secret found.
        DamagedArtifact: an artifact is not what its manifest says.
        Unavailable: the app is not here, as in an installation of the package alone.
    """
    out = Path(out)
    missing = [stage for stage in NEEDED if stage not in run.paths]
    if missing:
        raise InputError(f"run {run.id} has no {' and no '.join(missing)} yet; run it whole first: python -m sae_core run")
    unstated = [domain for domain in licences.missing(run.config) if f"manifest:{domain}" in run.paths]
    if unstated:
        raise InputError(
            f"a Space shows the images of {', '.join(unstated)} to everyone: state their licence with --data-license"
        )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not ((out / _MARK).is_file() and (out / BAKED).is_dir()))):
        raise InputError(f"{out} is not an empty folder nor an earlier Space; choose another")
    draft = out.with_name(f".{out.name}.draft-{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(run, draft, report, licences)
        files = {path.relative_to(draft).as_posix(): path for path in sorted(draft.rglob("*")) if path.is_file()}
        _refuse_secrets(files)
        if out.exists():
            shutil.rmtree(out)
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Bundle(out, tuple(files), sum((out / name).stat().st_size for name in files))


def _refuse_secrets(files: Mapping[str, Path]) -> None:
    # Pixels and weights that look like a token by chance are none; what this machine's own secrets are is found in them too.
    found = [one for one in scan(files) if not (Path(one.file).suffix in BINARY and one.kind in TOKENS)]
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise InputError(f"no Space was written: {'; '.join(map(str, found[:3]))}{more}; take it out and try again")


def _write(run: Run, draft: Path, report: Report, licences: Licences) -> None:
    for source, name in _code():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _bake(run, draft / BAKED, report)
    for name, text in (
        ("README.md", readme(run, PORT, licences)),
        ("Dockerfile", dockerfile(PORT, BAKED)),
        (".dockerignore", DOCKERIGNORE),
    ):
        (draft / name).write_text(text, encoding="utf-8")


def _code() -> Iterator[tuple[Path, str]]:
    """Every file of the app and its name in the bundle; nothing hidden, nothing compiled, nothing that is a link."""
    root = Path(__file__).parents[3]
    for name in CODE:
        place = root / name
        if not place.exists():
            raise Unavailable(f"{name} of the app is not beside the package; write the Space from a checkout of the project")
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            inside = path.relative_to(place).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in inside)
            if path.is_file() and not path.is_symlink() and not hidden and path.suffix != ".pyc":
                yield path, path.relative_to(root).as_posix()


def _bake(run: Run, cache: Path, report: Report) -> None:
    """Copy a run's artifacts, verified, and its record, without a path of this machine."""
    baked = Store(cache)
    for number, (node, key) in enumerate(run.keys.items(), 1):
        source = run.paths[node]
        # The artifact's own cache, which for a run over another cache is not everyone's.
        _sound(Store(source.parents[1]), key)
        target = baked.folder(key)
        if not target.exists():
            shutil.copytree(source, target, copy_function=shutil.copyfile)
            _without_place(target)
            _sound(baked, key)
        report(Event("space", number, len(run.keys), {}, node))
    record = baked.run_folder(run.id)
    record.mkdir(parents=True)
    (record / "config.yaml").write_text(dump_yaml(portable(run.config)), encoding="utf-8")
    # With the keys of what is not made too: a visitor may make it, and by its key the run finds it.
    shutil.copyfile(_record_of(run), record / "run.json")


def _record_of(run: Run) -> Path:
    """The run's `run.json`, which lies in the cache of one of its artifacts. Raises InputError where none has it."""
    for path in run.paths.values():
        file = Store(path.parents[1]).run_folder(run.id) / "run.json"
        if file.is_file():
            return file
    raise InputError(f"{run.id} is recorded nowhere beside its artifacts; run its configuration again")


def _sound(store: Store, key: str) -> None:
    faults = store.verify(key)
    if faults:
        raise DamagedArtifact(f"{faults[0]}; remove it with `rm {key}` and run again, then write the Space")


def _without_place(artifact: Path) -> None:
    """Take out of a manifest's `source.json` where its images lay on this machine; no key depends on it."""
    file = artifact / "source.json"
    if not file.is_file():
        return
    said = json.loads(file.read_text(encoding="utf-8"))
    if "root" not in said:
        return
    said["root"] = Path(said["root"]).name
    write_atomic(file, json.dumps(said, indent=2, ensure_ascii=False).encode())
    manifest = json.loads((artifact / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["source.json"] = {"sha256": sha256_file(file), "size": file.stat().st_size}
    write_atomic(artifact / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False).encode())
