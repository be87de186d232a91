"""Dictionaries on disk: the native format, other packages', and the registry in which they stand.

A foreign format knows nothing of input scaling, so it is folded into the weights on writing and a reader gets the same
reconstruction of raw embeddings (`fold`). Every reader derives d and m from the matrices and refuses, by name, what does not fit.
"""

from __future__ import annotations

from pathlib import Path

from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.dictionary_learning import DICTIONARY_LEARNING
from sae_core.sae.formats.files import Format, read_state_dict
from sae_core.sae.formats.fold import folded
from sae_core.sae.formats.hub import SCHEME, fetched_dictionary
from sae_core.sae.formats.native import CONFIG, NATIVE, WEIGHTS, describe, write_weights
from sae_core.sae.formats.saelens import SAELENS
from sae_core.sae.formats.seed import SEED, SEED_PROJECT
from sae_core.sae.formats.sparsify import SPARSIFY

__all__ = [
    "CONFIG",
    "FORMATS",
    "SEED",
    "WEIGHTS",
    "Format",
    "describe",
    "folded",
    "load_sae",
    "read_state_dict",
    "save_sae",
    "write_weights",
]

FORMATS: dict[str, Format] = {form.name: form for form in (NATIVE, DICTIONARY_LEARNING, SAELENS, SPARSIFY, SEED_PROJECT)}
"""Every format by name, in the order in which a folder is tried."""


def load_sae(path: str | Path) -> SAE:
    """Read a dictionary.

    Args:
        path: a train artifact, a folder or a file of any format in `FORMATS` (which one it is is seen, not told), or
            `hf://OWNER/NAME[/FOLDER][@REVISION]`, a published run or a repository on the Hugging Face Hub.

    Raises: InputError when there is none, it is of no known format, it says what this program cannot compute, or it is damaged
        or lies about its shapes; the line names the file and the parameter. Unavailable when the Hub cannot be reached.
    """
    if str(path).startswith(SCHEME):
        path = fetched_dictionary(str(path), list(dict.fromkeys(name for form in FORMATS.values() for name in form.files)))
    given = Path(path)
    if not given.exists():
        raise InputError(f"no dictionary at {given}; give a train artifact, a folder with {WEIGHTS}, or a {SEED}")
    for form in FORMATS.values():
        file = given / form.file if given.is_dir() else given
        if file.is_file() and form.matches(file):
            try:
                return form.read(file)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
    raise InputError(f"{given} holds no dictionary of a known format ({', '.join(FORMATS)}); looked for {_looked_for(given)}")


def save_sae(sae: SAE, folder: str | Path, format: str = "native") -> Path:
    """Write a dictionary into a folder.

    Args:
        format: a name in `FORMATS`.

    Returns: the path of its weights.
    Raises: InputError when the format is unknown or cannot say this architecture, or the folder has another format's files.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; there are {', '.join(FORMATS)}")
    form, out = FORMATS[format], Path(folder)
    kind = sae.architecture.kind
    if not form.holds(kind):
        others = ", ".join(other.name for other in FORMATS.values() if other.holds(kind))
        raise InputError(
            f"the {format} format holds {', '.join(form.kinds or ())} dictionaries only, this is {kind}; use {others}"
        )
    for other in FORMATS.values():
        if other is not form and {*other.files} & {*form.files} and _has(out, other):
            raise InputError(
                f"{out} has a dictionary in the {other.name} format, whose files would be lost; choose another folder"
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        form.write(sae, out / form.file)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; choose another folder") from None
    return out / form.file


def _has(folder: Path, form: Format) -> bool:
    return (folder / form.file).is_file() and form.matches(folder / form.file)


def _looked_for(path: Path) -> str:
    if not path.is_dir():
        return "weights by the file's content"
    return ", ".join(dict.fromkeys(form.file for form in FORMATS.values()))
