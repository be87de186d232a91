"""YAML in, a validated config out; every mistake becomes one line that names the key, the value and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sae_core.config.base import Model
from sae_core.config.sae import Architecture
from sae_core.config.stages import RunConfig
from sae_core.errors import InputError

M = TypeVar("M", bound=Model)
KINDS = tuple(kind.model_fields["kind"].default for kind in get_args(get_args(Architecture)[0]))
"""Every architecture by the name that a file gives it."""


MOST_VALUES = 100_000
"""Far more than a configuration has."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers: PyYAML takes `1e-3` for a string, which nobody means."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, where: str) -> Any:
    """YAML to plain values (safe loader: no tags, no objects). Raises InputError with line and column.

    A few lines of references to references can stand for more values than fit anywhere: `MOST_VALUES` are the most.
    """
    try:
        # bandit: _Loader derives from SafeLoader.
        found = yaml.load(text, Loader=_Loader)  # noqa: S506
        if _values(found, {}) > MOST_VALUES:
            raise InputError(f"{where}: its references (*name) stand for more than {MOST_VALUES:,} values; write them out")
        return found
    except RecursionError:
        raise InputError(f"{where}: it is nested too deeply, or refers to itself; mend the YAML there") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or "not valid YAML"
        raise InputError(f"{where}{at}: {what}; mend the YAML there") from None


def _values(value: Any, known: dict[int, int]) -> int:
    """How many values something of lists and mappings holds when every reference is written out."""
    if not isinstance(value, (list, dict)):
        return 1
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(value)]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a RunConfig from a YAML file and apply `a.b=value` overrides (values are YAML).

    Raises:
        InputError: missing file, bad YAML, unknown key, wrong type, impossible value; the line names key and value.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no configuration file at {file}; give a YAML file such as configs/demo.yaml")
    try:
        text = file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"cannot read {file}: {error}; give a UTF-8 YAML file") from None
    raw = parse_yaml(text, str(file))
    if not isinstance(raw, dict):
        raise InputError(f"{file} holds no mapping; a configuration begins with keys such as data: and sae:")
    return validate(RunConfig, override(raw, overrides), str(file))


def dump_yaml(config: Model) -> str:
    """The whole config, local paths included, as YAML that `load_config` reads back to the same config."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def override(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `raw` with `a.b=value` pairs set, making mappings on the way."""
    out: dict[str, Any] = json.loads(json.dumps(raw, default=str))
    for pair in overrides:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair}: write it as key.subkey=value")
        node, parts = out, key.strip().split(".")
        for part in parts[:-1]:
            child = node.get(part)
            if child is None:
                child = node[part] = {}
            if not isinstance(child, dict):
                raise InputError(f"--set {pair}: {part} is a single value, so {key.strip()} cannot be set below it")
            node = child
        node[parts[-1]] = parse_yaml(text, f"--set {pair}")
    return out


def validate(kind: type[M], raw: Any, where: str) -> M:
    """Validate plain values strictly; the first mistake becomes one line naming the key, the value, what is allowed."""
    try:
        # Through JSON, so that strictness lets lists be tuples but never "5" be 5 or true be 1.
        return kind.model_validate_json(json.dumps(kind.expand(raw), allow_nan=True, default=str))
    except ValidationError as error:
        raise InputError(f"{where}: {_first_line(error)}") from None


def _first_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    tags = {"drawn", "folder", "hub", "arrays", *KINDS}  # union branches are no keys of the file
    key = ".".join(str(part) for part in first["loc"] if part not in tags)
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}; remove it or mend its spelling{more}"
    if first["type"] == "missing":
        return f"key {key} is missing{more}"
    value = first.get("input")
    shown = "" if isinstance(value, (dict, BaseModel)) else f" (got {value!r})"
    return f"{key + ': ' if key else ''}{message}{shown}{more}"
