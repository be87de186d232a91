"""What a reader says of a dictionary's latents, bookmarks and notes: `said/<train key>/marks.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.said import said_folder, writing
from sae_core.store import Store, write_atomic

FORMAT = 1
FILE = "marks.json"
MAX_NOTE = 2000


@dataclass(frozen=True)
class Marks:
    """Bookmarks and notes of one run's latents; `changed` gives new ones, so they can be kept in memory too."""

    bookmarked: frozenset[int] = frozenset()
    notes: Mapping[int, str] = field(default_factory=dict)

    def note(self, latent: int) -> str:
        """The note on a latent, empty where there is none."""
        return self.notes.get(int(latent), "")

    def changed(self, latent: int, *, bookmarked: bool | None = None, note: str | None = None) -> Marks:
        """These marks with one latent's bookmark or note set; None leaves it as it is, an empty note removes it.

        Raises: InputError for a latent that is no number from 0 on, or a note of more than MAX_NOTE characters.
        """
        if isinstance(latent, bool) or int(latent) != latent or latent < 0:
            raise InputError(f"no latent {latent}: a mark is on a latent's number, from 0 on")
        latent, marked, notes = int(latent), set(self.bookmarked), dict(self.notes)
        if bookmarked is not None:
            (marked.add if bookmarked else marked.discard)(latent)
        if note is not None:
            text = clean_note(note)
            if len(text) > MAX_NOTE:
                raise InputError(f"the note on latent {latent} has {len(text):,} characters; shorten it to {MAX_NOTE:,}")
            notes.pop(latent, None)
            if text:
                notes[latent] = text
        return Marks(frozenset(marked), notes)

    def to_json(self) -> dict[str, Any]:
        """What `marks.json` holds."""
        notes = {str(latent): self.notes[latent] for latent in sorted(self.notes)}
        return {"format": FORMAT, "bookmarked": sorted(self.bookmarked), "notes": notes}


def clean_note(text: str) -> str:
    """A note without control and other invisible characters; its line breaks stay.

    >>> clean_note("a\\x00 loop,\\r\\n\\tnot a dot ")
    'a loop,\\n not a dot'
    """
    lines = text.replace("\t", " ").splitlines()
    return "\n".join("".join(c for c in line if c.isprintable()).rstrip() for line in lines).strip()


def load_marks(store: Store, run_id: str) -> Marks:
    """The marks of a run; none where nobody has made any.

    Raises: InputError for what is no run's id, DamagedArtifact when the file cannot be read (it is not overwritten).
    """
    return _read(said_folder(store, run_id) / FILE)


def set_mark(
    store: Store, run_id: str, latent: int | Iterable[int], *, bookmarked: bool | None = None, note: str | None = None
) -> Marks:
    """Set the bookmark or note (see `Marks.changed`) of one latent or several; all marks of the run as they then are.

    Writers wait for one another, so no mark is lost to a second browser, and a reader sees the old file or the new one.

    Raises: InputError for a run that is not there, a bad latent or note, a folder that cannot be written; DamagedArtifact.
    """
    folder = said_folder(store, run_id)
    marks = Marks()
    with writing(folder, FILE):
        marks = _read(folder / FILE)
        for one in latent if isinstance(latent, Iterable) else (latent,):
            marks = marks.changed(one, bookmarked=bookmarked, note=note)
        write_atomic(folder / FILE, json.dumps(marks.to_json(), indent=1, ensure_ascii=False).encode())
    return marks


def _read(file: Path) -> Marks:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version, bookmarked, notes = content["format"], content["bookmarked"], content["notes"]
        if version == FORMAT:
            return Marks(frozenset(_latent(one) for one in bookmarked), {_latent(one): str(notes[one]) for one in notes})
    except FileNotFoundError:
        return Marks()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifact(f"{file} cannot be read ({error}); mend it or remove it, which loses its notes") from None
    raise InputError(f"{file} has format {version}, this version reads {FORMAT}; open it with the version that wrote it")


def _latent(written: Any) -> int:
    latent = int(written)
    if latent < 0 or isinstance(written, (bool, float)):
        raise ValueError(f"{written!r} is no latent")
    return latent
