"""Typed, frozen configuration: one pydantic model per stage, read from YAML, every mistake named.

Everything that changes a result is a field here and is hashed into the artifact's key. What does not (device, workers, where a
folder happens to lie) is `Runtime`, or a field marked `local`, and is left out of the hash by `science`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sae_core.errors import InputError

M = TypeVar("M", bound="Model")
DOMAIN_NAME = r"[a-z][a-z0-9_]{0,31}"
LOCAL: dict[str, Any] = {"local": True}
"""Marks a field that says where something lies on this machine: kept, shown, never hashed."""


@dataclass(frozen=True)
class Runtime:
    """How a stage runs on this machine. Never hashed: the same config on another device is the same artifact."""

    device: str = "auto"
    workers: int = 0
    executor: Literal["inline", "processes"] = "inline"


class Model(BaseModel):
    """Base of every config: unknown keys and wrong types are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def expand(cls, raw: Any) -> Any:
        """Turn the short forms a file may use into the full form, before validation."""
        return raw


# ---------------------------------------------------------------- data


class SourceBase(Model):
    """What every image source shares: how it is split into train and test."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Annotated[int, Field(ge=0)] = 0


class DrawnSource(SourceBase):
    """The drawn world: `n` scenes from `seed`, as sketches or as photo-like pictures. Ground truth is kept."""

    source: Literal["drawn"] = "drawn"
    rendering: Literal["sketch", "photo"] = "sketch"
    n: Annotated[int, Field(ge=2, le=5_000_000)] = 4000
    seed: Annotated[int, Field(ge=0, lt=1_000_000)] = 0
    size: Annotated[int, Field(ge=32, le=512)] | None = None


class FolderSource(SourceBase):
    """A folder of images in class subfolders (`<path>/<class>/x.jpg`); wnid folder names become ImageNet names."""

    source: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1, json_schema_extra=LOCAL)]
    rendering: Literal["sketch", "photo"] = "sketch"
    max_per_class: Annotated[int, Field(ge=1)] | None = None


class HubSource(SourceBase):
    """A labelled image data set of the Hugging Face Hub, streamed; `cifar10` and `imagenet_sketch` go by name."""

    source: Literal["hub"] = "hub"
    name: str = Field(min_length=1)
    rendering: Literal["sketch", "photo"] = "photo"
    revision: str | None = None
    splits: tuple[str, ...] | None = None
    image_column: str | None = None
    label_column: str | None = None
    limit: Annotated[int, Field(ge=2)] | None = None


class ArraySource(SourceBase):
    """Precomputed embeddings: a folder with `.npy` arrays and a `metadata.csv` or parquet beside them."""

    source: Literal["arrays"] = "arrays"
    path: Annotated[str, Field(min_length=1, json_schema_extra=LOCAL)]
    rendering: Literal["sketch", "photo"] = "sketch"
    encoder: str = Field(default="ViT-B-32/openai", min_length=1)
    label_column: str | None = None
    caption_column: str | None = "caption"


Source = Annotated[Union[DrawnSource, FolderSource, HubSource, ArraySource], Field(discriminator="source")]


# ---------------------------------------------------------------- stages


class ClipConfig(Model):
    """Which CLIP embeds the images (any open_clip model and tag) and how."""

    model: str = Field(default="bundled", min_length=1)
    pretrained: str | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 256
    shard_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 2048


class TopK(Model):
    """Keep the `k` largest pre-activations of each row (Gao et al. 2024, arXiv:2406.04093), AuxK for dead latents."""

    kind: Literal["topk"] = "topk"
    k: Annotated[int, Field(ge=1)] = 32
    aux_k: Annotated[int, Field(ge=0)] | None = None
    aux_coefficient: Annotated[float, Field(ge=0)] = 1 / 32
    dead_after: Annotated[int, Field(ge=1)] | None = None


class ReluL1(Model):
    """ReLU codes with an L1 penalty; `frozen_decoder` reproduces what the seed project really trained."""

    kind: Literal["relu_l1"] = "relu_l1"
    l1: Annotated[float, Field(ge=0)] = 0.001
    frozen_decoder: bool = False
    renormalise_decoder: bool = True


Architecture = Annotated[Union[TopK, ReluL1], Field(discriminator="kind")]


class SaeConfig(Model):
    """How the dictionary is trained. What is null follows the rules of `sae_core.sae.recipe`.

    `batch_size` is an upper bound: with few rows smaller batches generalise better, so a batch is at most a twelfth of the rows.
    `clip_norm` is null by default: the recipe's first weights are calibrated, so that no gradient is ever large.
    """

    architecture: Architecture = TopK()
    width: Annotated[int, Field(ge=2, le=1_048_576)] = 4096
    domains: tuple[str, ...] | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 1024
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: Annotated[float, Field(gt=0, le=1)] | None = None
    schedule: Literal["trapezoid", "constant"] = "trapezoid"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    scaling: Literal["mean_square", "none"] = "mean_square"
    init: Literal["recipe", "seed_project"] = "recipe"
    seed: Annotated[int, Field(ge=0)] = 0
    log_every: Annotated[int, Field(ge=1)] = 20

    @model_validator(mode="after")
    def _consistent(self) -> SaeConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        if isinstance(self.architecture, TopK) and self.architecture.k > self.width:
            raise ValueError(f"k = {self.architecture.k} is above the dictionary size, width = {self.width}")
        return self


class EvaluateConfig(Model):
    """Zero-shot (or caption recall) with CLIP and with CLIP+SAE on held-out images, each domain with its prompts."""

    templates: dict[str, tuple[str, ...] | str] = {}
    """Per domain: template strings with `{}` for the class name, or the name of a set (sketch, photo, openai_imagenet)."""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0


class CollectConfig(Model):
    """The sparse activation store over every image of every domain."""

    batch_rows: Annotated[int, Field(ge=1)] = 4096


class Latents(Model):
    """A choice of latents: the `strongest` n (by summed activation), or `ids`; neither means all that are alive."""

    strongest: Annotated[int, Field(ge=1)] | None = None
    ids: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Latents:
        if self.strongest is not None and self.ids is not None:
            raise ValueError("give strongest or ids, not both")
        return self


class InterpretConfig(Model):
    """Offline naming by the text tower, with abstention. `vocabulary: file` reads `vocabulary_file`, one word a line."""

    method: Literal["clip"] = "clip"
    latents: Latents = Latents()
    vocabulary: Literal["builtin", "imagenet", "classes", "captions", "file"] = "builtin"
    vocabulary_file: str | None = Field(default=None, min_length=1, json_schema_extra=LOCAL)
    templates: tuple[str, ...] = ("a sketch of a {}", "a drawing of {}", "{}")
    percentile: Annotated[float, Field(gt=50, lt=100)] = 99.0
    random_directions: Annotated[int, Field(ge=50)] = 500
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _file_given(self) -> InterpretConfig:
        if (self.vocabulary == "file") != (self.vocabulary_file is not None):
            raise ValueError("vocabulary: file and vocabulary_file: PATH go together")
        return self


class VisualizeConfig(Model):
    """PNG grids of the top images of latents."""

    latents: Latents = Latents(strongest=16)
    images: Annotated[int, Field(ge=1, le=64)] = 16
    columns: Annotated[int, Field(ge=1, le=16)] = 4
    cell: Annotated[int, Field(ge=32, le=512)] = 112


class Edit(Model):
    """One edit of a code: `set` to value, `add` value, `ablate` to 0, `clamp` to value x the latent's maximum."""

    latent: Annotated[int, Field(ge=0)]
    op: Literal["set", "add", "ablate", "clamp"] = "clamp"
    value: float = 0.0

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError(f"the value of an edit must be finite, not {value}")
        return value


class SteerConfig(Model):
    """What is steered and how; `edits: null` clamps the image's strongest latent to twice its maximum."""

    domain: str | None = None
    image: Annotated[int, Field(ge=0)] | None = None
    edits: tuple[Edit, ...] | None = None
    sweep: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    keep_error: bool = True
    renormalise: bool = False
    random_directions: Annotated[int, Field(ge=2)] = 20
    neighbours: Annotated[int, Field(ge=1, le=100)] = 12
    seed: Annotated[int, Field(ge=0)] = 0


class RunConfig(Model):
    """A whole run: data of one or more domains, a CLIP, a dictionary, and everything made of them."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,63}$")] = "run"
    data: dict[str, Source]
    clip: ClipConfig = ClipConfig()
    sae: SaeConfig = SaeConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    collect: CollectConfig = CollectConfig()
    interpret: InterpretConfig = InterpretConfig()
    visualize: VisualizeConfig = VisualizeConfig()
    steer: SteerConfig = SteerConfig()

    @classmethod
    def expand(cls, raw: Any) -> Any:
        """`data: {source: ...}` is the short form of one domain; its name is `domain`, or the rendering's."""
        if isinstance(raw, dict) and isinstance(raw.get("data"), dict) and isinstance(raw["data"].get("source"), str):
            source = dict(raw["data"])
            raw = {**raw, "data": {source.pop("domain", source.get("rendering", "sketch")): source}}
        return raw

    @field_validator("data")
    @classmethod
    def _named(cls, data: dict[str, Source]) -> dict[str, Source]:
        if not data:
            raise ValueError("give at least one domain, e.g. sketch: {source: drawn}")
        for domain in data:
            if not re.fullmatch(DOMAIN_NAME, domain):
                raise ValueError(f"domain name {domain!r} must be lower-case letters, digits and _ (at most 32)")
        return data

    @model_validator(mode="after")
    def _known_domains(self) -> RunConfig:
        named = {
            "sae.domains": self.sae.domains or (),
            "evaluate.templates": tuple(self.evaluate.templates),
            "steer.domain": (self.steer.domain,) if self.steer.domain else (),
        }
        for key, domains in named.items():
            for domain in domains:
                if domain not in self.data:
                    raise ValueError(f"{key} names domain {domain!r}; data has {', '.join(self.data)}")
        return self

    @property
    def train_domains(self) -> tuple[str, ...]:
        """The domains the dictionary is trained on, in the order of `data` unless `sae.domains` says otherwise."""
        return self.sae.domains or tuple(self.data)


# ---------------------------------------------------------------- hashing, reading


def science(config: Model) -> dict[str, Any]:
    """The part of a config that changes the result: everything but fields marked local, as plain JSON values."""
    out: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
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


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers: PyYAML takes `1e-3` for a string, which nobody means."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def parse_yaml(text: str, where: str) -> Any:
    """YAML to plain values (safe loader: no tags, no objects). Raises InputError with line and column."""
    try:
        # bandit: _Loader derives from SafeLoader.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or "not valid YAML"
        raise InputError(f"{where}{at}: {what}; mend the YAML there") from None


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
    tags = {"drawn", "folder", "hub", "arrays", "topk", "relu_l1"}  # union branches are no keys of the file
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
