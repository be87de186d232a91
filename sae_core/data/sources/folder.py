"""A folder of pictures in class subfolders: `<root>/<class>/x.jpg`, one level deep, in natural order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sae_core.config import FolderSource, Runtime
from sae_core.data.fingerprints import digest, hash_files, remember_place
from sae_core.data.images import SUFFIXES
from sae_core.data.sources.collected import Collected, Item, Problem, collect_items
from sae_core.data.sources.imagenet import class_names
from sae_core.errors import InputError
from sae_core.progress import Report

LAYOUT = "lay it out as <folder>/<class>/picture.jpg"
IGNORED = ("__MACOSX",)


@dataclass(frozen=True)
class Listing:
    """What lies in a folder: the pictures of every class in natural order, and what was passed over."""

    root: Path
    classes: dict[str, list[str]]
    passed_over: list[Problem]


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that counts: `x2` comes before `x10`."""
    parts = re.split(r"([0-9]+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts], text


def list_folder(path: str, max_per_class: int | None = None) -> Listing:
    """List a folder of class subfolders without opening a picture.

    Hidden files are left out; anything else that is no picture of a class is named in `passed_over`. Links are followed
    only where they lead to something inside the folder.

    Raises: InputError when the folder is missing or empty, has no class, or a class has no picture.
    """
    root = checked_root(path)
    classes: dict[str, list[str]] = {}
    passed_over: list[Problem] = []
    loose = 0
    for entry in _entries(root):
        problem = _outside(entry, root)
        if problem is not None:
            passed_over.append(problem)
        elif entry.is_dir():
            classes[entry.name], others = _list_class(entry, root)
            passed_over += others
        else:
            loose += entry.suffix.lower() in SUFFIXES
            passed_over.append(Problem(entry.name, "is in no class subfolder"))
    if not classes:
        what = f"holds {loose} pictures but no class subfolder" if loose else "has no class subfolder with pictures"
        raise InputError(f"folder {path} {what if any(root.iterdir()) else 'is empty'}; {LAYOUT}")
    for name, files in classes.items():
        if not files:
            raise InputError(f"class {name} in {path} has no picture; add some, or remove the subfolder")
    kept = {name: files[:max_per_class] for name, files in classes.items()}
    return Listing(root, kept, passed_over)


def checked_root(path: str) -> Path:
    """The folder at `path`, with links resolved. Raises InputError when there is none."""
    root = Path(path).expanduser()
    if not root.exists():
        raise InputError(f"no folder at {path}; give the path of a folder that exists")
    if not root.is_dir():
        raise InputError(f"{path} is a file, not a folder; give the folder it lies in")
    return root.resolve()


def _entries(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name not in IGNORED]
    except OSError as error:
        raise InputError(f"cannot list folder {folder}: {error.strerror}; mend its permissions") from None
    return sorted(found, key=lambda entry: natural(entry.name))


def _outside(entry: Path, root: Path) -> Problem | None:
    """Why an entry must not be followed, or None."""
    file = entry.relative_to(root).as_posix()
    try:
        file.encode()
    except UnicodeEncodeError:
        return Problem(file.encode("utf-8", "backslashreplace").decode(), "has a name that is not UTF-8")
    if entry.is_symlink():
        if not entry.exists():
            return Problem(file, "is a link that leads nowhere")
        if not entry.resolve().is_relative_to(root):
            return Problem(file, "is a link that leads out of the folder; not followed")
    return None


def _list_class(folder: Path, root: Path) -> tuple[list[str], list[Problem]]:
    files: list[str] = []
    others: list[Problem] = []
    for entry in _entries(folder):
        file = entry.relative_to(root).as_posix()
        problem = _outside(entry, root)
        if problem is not None:
            others.append(problem)
        elif entry.is_dir():
            others.append(Problem(file, "is a folder inside a class; only one level is read"))
        elif entry.suffix.lower() in SUFFIXES:
            files.append(file)
        else:
            others.append(Problem(file, f"is not a picture by its ending {entry.suffix!r}"))
    return files, others


def fingerprint(config: FolderSource, cache_dir: Path | None) -> str:
    """The content of every picture that would be read, and the names of what is passed over; never the path."""
    listing = list_folder(config.path, config.max_per_class)
    files = [file for files in listing.classes.values() for file in files]
    hashes = hash_files(listing.root, files, cache_dir)
    found = digest({**hashes, **{problem.file: problem.problem for problem in listing.passed_over}})
    remember_place(cache_dir, found, listing.root)
    return found


def collect(config: FolderSource, out_dir: Path, report: Report, runtime: Runtime) -> Collected:
    """Read the folder.

    Raises: InputError also for one class only, and for a class none of whose pictures can be read.
    """
    listing = list_folder(config.path, config.max_per_class)
    check_classes(list(listing.classes), config.path)
    total = sum(len(files) for files in listing.classes.values())
    found, folders = collect_items(_items(listing), total, out_dir, report, runtime)
    assign_classes(found, folders, list(listing.classes), config.path)
    found.problems = sorted([*listing.passed_over, *found.problems], key=lambda problem: natural(problem.file))
    found.source = {"kind": "folder", "root": str(listing.root)}
    return found


def _items(listing: Listing) -> Iterator[Item]:
    for folder, files in listing.classes.items():
        for file in files:
            yield Item(file, folder, (listing.root / file).read_bytes)


def check_classes(folders: list[str], where: str) -> None:
    """Raise InputError unless there are two classes at least: with one, every zero-shot prediction is right."""
    if len(folders) == 1:
        raise InputError(f"{where} has one class only ({folders[0]}); zero-shot needs two at least: add another class")


def assign_classes(found: Collected, of_row: list[str], folders: list[str], where: str) -> None:
    """Set names and labels from each row's folder. Raises InputError for a class none of whose pictures can be read."""
    present = set(of_row)
    for folder in folders:
        if folder not in present:
            problem = next(p for p in found.problems if p.file.startswith(f"{folder}/"))
            why = f"{Path(problem.file).name} {problem.problem}"
            raise InputError(f"class {folder} in {where} has no readable picture ({why}); mend or remove it")
    number = {folder: label for label, folder in enumerate(folders)}
    found.labels = [number[folder] for folder in of_row]
    found.folders, found.names = folders, class_names(folders)
