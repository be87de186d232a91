"""Whether what is about to be published holds a secret: tokens, values of secret variables, paths of this machine.

A finding names the file and the kind, never the value.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sae_core.errors import InputError

TOKENS = {
    "a token of the Hugging Face Hub (hf_...)": re.compile(rb"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"),
    "an API key (sk-...)": re.compile(rb"(?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{16,}"),
    "a token of GitHub (ghp_...)": re.compile(rb"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a path of somebody's home folder": re.compile(rb"(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})[A-Za-z0-9_.\-]+[/\\]"),
}
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
SHORTEST = 8
"""Characters; a shorter value of a variable would be found in anything."""
BLOCK = 4_000_000
OVERLAP = 4096


@dataclass(frozen=True)
class Finding:
    """A file that holds a secret, and of which kind."""

    file: str
    kind: str

    def __str__(self) -> str:
        return f"{self.file} holds {self.kind}"


def scan(files: Mapping[str, Path], environment: Mapping[str, str] | None = None, home: Path | None = None) -> list[Finding]:
    """What should not be published.

    Args:
        files: name in the publication -> file.
        environment: variables; the value of any whose name has KEY, TOKEN, SECRET or PASSW in it is a secret.
        home: the home folder of this machine's user.

    Returns: a finding for every file and kind.
    """
    values = _values(os.environ if environment is None else environment)
    house = f"{home or Path.home()}/".encode()
    found = []
    for name, file in files.items():
        kinds: set[str] = set()
        for block in _blocks(file):
            kinds |= {kind for kind, pattern in TOKENS.items() if pattern.search(block)}
            kinds |= {kind for kind, forms in values.items() if any(form in block for form in forms)}
            if len(house) > 2 and house in block:
                kinds.add("a path of this machine's home folder")
        found += [Finding(name, kind) for kind in sorted(kinds)]
    return found


def refuse_secrets(files: Mapping[str, Path], environment: Mapping[str, str] | None = None) -> None:
    """Raises InputError where anything in `files` should not be published; the line names files and kinds, never a value."""
    found = scan(files, environment)
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise InputError(f"not published: {'; '.join(map(str, found[:3]))}{more}; take it out of the run and try again")


def _values(environment: Mapping[str, str]) -> dict[str, list[bytes]]:
    """The secret values to look for, in the forms a file may have them, by what a finding calls them."""
    forms = {}
    for name, value in environment.items():
        secret = value.strip()
        if SECRET_NAME.search(name) and len(secret) >= (12 if secret.isdigit() else SHORTEST):
            said = {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
            forms[f"the value of the environment variable {name}"] = [form.encode() for form in said]
    return forms


def _blocks(file: Path) -> Iterator[bytes]:
    """A file's bytes, in overlapping blocks; of a parquet file its texts, which are compressed in it."""
    if file.suffix == ".parquet":
        yield _texts(file)
        return
    with file.open("rb") as handle:
        tail = b""
        while block := handle.read(BLOCK):
            yield tail + block
            tail = block[-OVERLAP:]


def _texts(file: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    out = io.StringIO(str(table.schema.to_string(show_schema_metadata=True, truncate_metadata=False)) + "\n")
    out.seek(0, io.SEEK_END)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_nested(column.type):
            out.writelines(_lines(column.to_pylist()))
    return out.getvalue().encode()


def _lines(values: Iterable[object]) -> Iterator[str]:
    return (f"{value}\n" for value in values if value is not None)
