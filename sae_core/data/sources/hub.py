"""Labelled image data sets of the Hugging Face Hub, streamed; CIFAR-10 and ImageNet-Sketch go by name.

Three ways in, chosen by the name: `datasets` in streaming mode (any data set with an image and a label column, also a
local folder of parquet files), a zip of class folders read in place (ImageNet-Sketch, whose repository is a zip and a
loading script that current `datasets` no longer runs), and CIFAR-10's own archive where the Hub cannot be reached. The
encoded pictures are kept in the artifact, as embedding needs them again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sae_core.config import HubSource, Runtime, public
from sae_core.data.fingerprints import digest, hash_files
from sae_core.data.sources import archive, cifar
from sae_core.data.sources.collected import Collected, Item, Problem, collect_items
from sae_core.data.sources.folder import assign_classes, check_classes
from sae_core.errors import InputError, SaeLabError, Unavailable
from sae_core.progress import Report
from sae_core.store import canonical

EMBEDDED = "without a network use the embedded drawn world (source: drawn)"
NETWORK_SECONDS = 15.0


@dataclass(frozen=True)
class Known:
    """A data set that goes by name: its repository, how many pictures and bytes it has, its columns or its archive."""

    title: str
    repo: str
    size: str
    archive: str | None = None


KNOWN = {
    "cifar10": Known("CIFAR-10 (60,000 pictures)", "uoft-cs/cifar10", "144 MB"),
    "imagenet_sketch": Known(
        "ImageNet-Sketch (50,889 pictures)", "songweig/imagenet_sketch", "7.6 GB", "data/ImageNet-Sketch.zip"
    ),
}


@dataclass
class Stream:
    """Pictures on their way: in order, with what was noticed before they could be decoded."""

    items: Iterator[Item]
    folders: list[str] | None
    source: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)


def known(name: str) -> Known:
    """The data set a name stands for; any other repository is known by its name only."""
    for short, entry in KNOWN.items():
        if name in (short, entry.repo):
            return entry
    return Known(name, name, "size unknown")


def _local(config: HubSource) -> Path:
    """Where a folder or zip of this name would lie; in public nowhere: strangers read nothing of the server's."""
    if public.is_public():
        public.check_hub_name(config.name, "data: name")
        return Path(os.devnull) / config.name  # below a file, where nothing can be
    return Path(config.name).expanduser()


def fingerprint(config: HubSource, cache_dir: Path | None) -> str:
    """Repository, revision, splits, columns and limit; for a local folder or zip the content of its files."""
    local = _local(config)
    if local.is_dir():
        files = sorted(p.relative_to(local).as_posix() for p in local.rglob("*") if p.is_file() and p.name[0] != ".")
        return digest(hash_files(local, files, cache_dir))
    if local.is_file():
        return digest(hash_files(local.parent, [local.name], cache_dir))
    record = ["hub", known(config.name).repo, config.revision or "main", config.splits, config.limit]
    return hashlib.sha256(canonical([*record, config.image_column, config.label_column])).hexdigest()


def requirements(config: HubSource) -> dict[str, Any]:
    """What would be fetched, from where, how much, and whether it lies here already; fetches nothing."""
    entry = known(config.name)
    if _local(config).exists():
        return {"what": config.name, "from": "this machine", "size": "local", "present": True}
    origin = f"huggingface.co/datasets/{entry.repo}" + (f" or {cifar.HOST}" if entry is KNOWN["cifar10"] else "")
    return {"what": entry.title, "from": origin, "size": entry.size, "present": _cached_archive(entry) is not None}


def collect(config: HubSource, out_dir: Path, report: Report, runtime: Runtime) -> Collected:
    """Stream the data set into the artifact.

    Raises:
        Unavailable: it cannot be reached; names it, where it is, its size and the embedded alternative.
        InputError: no such data set, split or column; one class only; a class with no readable picture.
    """
    with _open(config, out_dir) as stream:
        found, folders = collect_items(
            _numbered(stream.items, config.limit), config.limit or 0, out_dir, report, runtime, keep_encoded=True
        )
    order = stream.folders or sorted(set(folders))
    present = [folder for folder in order if folder in set(folders)]
    if not present:
        raise InputError(f"{config.name} gave no readable picture; give another data set, split or column")
    check_classes(present, f"{config.name} as streamed{f' (limit {config.limit})' if config.limit else ''}")
    found.problems = [*stream.problems, *found.problems]
    assign_classes(found, folders, present, config.name)
    found.source = {"kind": "hub", **stream.source}
    return found


def _numbered(items: Iterator[Item], limit: int | None) -> Iterator[Item]:
    """At most `limit` items; network trouble in the middle becomes one line."""
    count = 0
    try:
        for item in islice(items, limit):
            yield item
            count += 1
    except SaeLabError:
        raise
    except Exception as error:  # network errors change class between versions of the Hub's client
        raise Unavailable(f"the stream broke off after {count} pictures: {_line(error)}; run again, or {EMBEDDED}") from None


@contextmanager
def _open(config: HubSource, out_dir: Path) -> Iterator[Stream]:
    local = _local(config)
    entry = known(config.name)
    if local.is_file():
        with archive.opened(str(local), config.limit) as (items, folders, problems):
            yield Stream(items, folders, {"via": "zip", "root": str(local.resolve())}, problems)
    elif local.is_dir():
        yield _datasets(config, str(local), {"via": "datasets", "root": str(local.resolve())})
    elif (cached := _cached_archive(entry)) is not None:
        with archive.opened(cached, config.limit) as (items, folders, problems):
            yield Stream(items, folders, {"via": "zip", "repository": entry.repo}, problems)
    else:
        reason, commit = within(NETWORK_SECONDS, lambda: _ask(entry.repo, config.revision))
        source = {"repository": entry.repo, "revision": config.revision or "main", "commit": commit}
        if reason is None and entry.archive is not None:
            url = f"hf://datasets/{entry.repo}@{commit}/{entry.archive}"
            with archive.opened(url, config.limit) as (items, folders, problems):
                yield Stream(items, folders, {"via": "zip", **source}, problems)
        elif reason is None:
            yield _datasets(config, entry.repo, {"via": "datasets", **source})
        elif entry is KNOWN["cifar10"]:
            with cifar.fetched(out_dir, config.splits, reason, EMBEDDED) as items:
                yield Stream(items, list(cifar.CLASSES), {"via": "torchvision", "repository": cifar.URL})
        else:
            raise Unavailable(
                f"cannot fetch {entry.title} from huggingface.co/datasets/{entry.repo} ({entry.size}): {reason}; {EMBEDDED}"
            )


def _cached_archive(entry: Known) -> str | None:
    """The archive in the Hub client's own cache, where somebody downloaded it before."""
    if entry.archive is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(entry.repo, entry.archive, repo_type="dataset")
    return path if isinstance(path, str) else None


def _ask(repo: str, revision: str | None) -> tuple[str | None, str]:
    """Ask the Hub for the data set's commit: (None, commit), or (why not, "")."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        found = HfApi(endpoint=constants.ENDPOINT).dataset_info(repo, revision=revision, timeout=NETWORK_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"no data set {repo} on the Hub (or it is private); mend the name") from None
    except RevisionNotFoundError:
        raise InputError(f"data set {repo} has no revision {revision}; mend it, or leave it out for main") from None
    except Exception as error:  # connection errors change class between versions of the Hub's client
        return _line(error), ""
    return None, str(found.sha)


def within(seconds: float, ask: Callable[[], tuple[str | None, str]]) -> tuple[str | None, str]:
    """Run `ask` under a deadline that also bounds name resolution, which no socket time-out covers."""
    answers: list[tuple[str | None, str]] = []
    raised: list[SaeLabError] = []

    def work() -> None:
        try:
            answers.append(ask())
        except SaeLabError as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    return answers[0] if answers else (f"no answer within {seconds:.0f} s", "")


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _datasets(config: HubSource, path: str, source: dict[str, Any]) -> Stream:
    """Open a data set by `datasets` in streaming mode and find its image and label columns."""
    import datasets

    # A pinned commit keeps the stream from changing under a long run.
    revision = source.get("commit")
    try:
        loaded = datasets.load_dataset(path, streaming=True, revision=revision)
    except Exception as error:  # whatever a foreign repository does wrong
        raise InputError(f"`datasets` cannot open {config.name}: {_line(error)}; give another data set") from None
    splits = config.splits or tuple(str(split) for split in loaded)
    for split in splits:
        if split not in loaded:
            raise InputError(f"{config.name} has no split {split!r}; it has {', '.join(map(str, loaded))}")
    features = loaded[splits[0]].features or {}
    image = _column(config, features, "image", lambda f: isinstance(f, datasets.Image), ("image", "img"))
    label = _column(config, features, "label", lambda f: isinstance(f, datasets.ClassLabel), ("label", "labels"))
    names = features[label].names if isinstance(features[label], datasets.ClassLabel) else None
    stream = Stream(iter(()), names, {**source, "splits": list(splits)})
    stream.items = _rows(loaded, splits, image, label, names, stream.problems)
    return stream


def _column(config: HubSource, features: Any, role: str, fits: Callable[[Any], bool], usual: tuple[str, ...]) -> str:
    """The column that holds images or labels: the one asked for, else the first of the type, else one by a usual name."""
    asked = config.image_column if role == "image" else config.label_column
    has = f"it has {', '.join(features) or 'no columns'}"
    if asked is not None:
        if asked not in features:
            raise InputError(f"{config.name} has no column {asked!r}; {has}: set {role}_column")
        return asked
    found = [name for name, feature in features.items() if fits(feature)] or [n for n in usual if n in features]
    if not found:
        raise InputError(f"{config.name} has no {role} column; {has}: set {role}_column")
    return str(found[0])


def _rows(
    loaded: Any, splits: tuple[str, ...], image: str, label: str, names: list[str] | None, problems: list[Problem]
) -> Iterator[Item]:
    import datasets

    for split in splits:
        rows = loaded[split].select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
        for number, row in enumerate(rows):
            file, value = f"{split}/{number:06d}", row[label]
            if value is None or (names is not None and not 0 <= value < len(names)):
                problems.append(Problem(file, "has no label"))
                continue
            folder = names[value] if names is not None else str(value)
            yield Item(file, folder, _reader(row[image]))


def _reader(value: dict[str, Any] | None) -> Callable[[], bytes]:
    def read() -> bytes:
        if value is None:
            raise InputError("it has no picture; leave it out")
        if value["bytes"] is not None:
            return bytes(value["bytes"])
        from datasets.utils.file_utils import xopen

        with xopen(value["path"], "rb") as handle:
            return bytes(handle.read())

    return read
