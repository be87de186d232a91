"""What every config is made of: frozen, strict, and hashable by its science alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

LOCAL: dict[str, Any] = {"local": True}
"""Marks a field that says where something lies on this machine: kept, shown, never hashed."""


@dataclass(frozen=True)
class Runtime:
    """How a stage runs on this machine. Never hashed: the same config on another device is the same artifact."""

    device: str = "auto"
    workers: int = 0
    tensorboard: bool = False
    executor: Literal["inline", "processes"] = "inline"


class Model(BaseModel):
    """Base of every config: unknown keys and wrong types are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def expand(cls, raw: Any) -> Any:
        """Turn the short forms a file may use into the full form, before validation."""
        return raw

    def idle(self) -> frozenset[str]:
        """Names of the fields that this config's other values leave without an effect: they are not hashed."""
        return frozenset()


def science(config: Model) -> dict[str, Any]:
    """The part of a config that changes the result: everything but fields marked local or idle, as plain JSON values."""
    out: dict[str, Any] = {}
    idle = config.idle()
    for name, field in type(config).model_fields.items():
        if name in idle:
            continue
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("local"):
            continue
        out[name] = _plain(getattr(config, name))
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return science(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
