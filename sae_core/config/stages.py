"""The whole run, and a model for every stage but the training, which has a file of its own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sae_core.config.base import LOCAL, Model
from sae_core.config.data import Source
from sae_core.config.recipe import Edit, Recipe
from sae_core.config.sae import SaeConfig
from sae_core.config.sweep import SweepConfig, SweepRun

DOMAIN_NAME = r"[a-z][a-z0-9_]{0,31}"


class ClipConfig(Model):
    """Which CLIP embeds the images (any open_clip model and tag) and how."""

    model: str = Field(default="bundled", min_length=1)
    pretrained: str | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 256
    shard_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 2048


class StrokesConfig(Model):
    """How pictures are measured: `auto` as the manifest says, `sketch` by their ink, `photo` by their edges.

    Of more than `images` pictures that many are drawn at random (about a hundred a second and core are measured).
    """

    rendering: Literal["auto", "sketch", "photo"] = "auto"
    images: Annotated[int, Field(ge=1)] | None = 10_000
    seed: Annotated[int, Field(ge=0)] = 0


class EvaluateConfig(Model):
    """Zero-shot (or caption recall) with CLIP and with CLIP+SAE on held-out images, each domain with its prompts."""

    templates: dict[str, tuple[str, ...] | str] = Field(default={})
    """Per domain: template strings with `{}` for the class name, or the name of a set (sketch, photo, openai_imagenet)."""
    class_names: dict[str, dict[str, Annotated[str, Field(min_length=1)]]] = Field(default={})
    """Per domain: what prompts call a class, for classes that are to be called something else than their name."""
    sparse_probes: bool = False
    """Whether to ask how well 1, 5 and 20 latents tell each class, against as many raw dimensions (seconds to minutes)."""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0


class CollectConfig(Model):
    """The sparse activation store over every image of every domain."""

    batch_rows: Annotated[int, Field(ge=1)] = 4096


class GeometryConfig(Model):
    """Geometry against semantics for every latent, on at most `images` measured pictures of each of `domains` (null: all)."""

    domains: tuple[str, ...] | None = None
    images: Annotated[int, Field(ge=20, le=10_000)] = 10_000
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    least_effect: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0


class DirectionsConfig(Model):
    """The map of decoder directions: of the `latents` strongest that fire, with neighbourhoods of about `perplexity` latents."""

    latents: Annotated[int, Field(ge=1, le=65_536)] = 16_384
    perplexity: Annotated[float, Field(ge=2, le=200)] = 30.0
    seed: Annotated[int, Field(ge=0)] = 0


class Latents(Model):
    """A choice of latents: the `strongest` n (by summed activation), or `ids`; neither means all that are alive."""

    strongest: Annotated[int, Field(ge=1)] | None = None
    ids: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Latents:
        if self.strongest is not None and self.ids is not None:
            raise ValueError("give strongest or ids, not both")
        return self


class VisionConfig(Model):
    """A vision model that names and is tested: who (`endpoint`, `model`), what it is shown, and what it may cost.

    Money is in USD. The key is no setting: it comes from the environment or a field, and no file holds it.
    """

    endpoint: Annotated[str, Field(min_length=1, max_length=300)] = "https://openrouter.ai/api/v1"
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    max_tokens: Annotated[int, Field(ge=64, le=32_000)] = 800
    explain_top: Annotated[int, Field(ge=1, le=20)] = 6
    explain_quantile: Annotated[int, Field(ge=0, le=20)] = 6
    explain_near_misses: Annotated[int, Field(ge=0, le=20)] = 6
    explain_random: Annotated[int, Field(ge=0, le=20)] = 2
    score_positives: Annotated[int, Field(ge=10, le=100)] = 20
    score_near_misses: Annotated[int, Field(ge=0, le=100)] = 10
    score_random: Annotated[int, Field(ge=0, le=100)] = 10
    detection_batch: Annotated[int, Field(ge=1, le=8)] = 8
    intruder: bool = True
    cap: Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra=LOCAL)] = 1.0
    """The most that may be spent; no request is sent that could go beyond it."""
    allow_unknown_price: Annotated[bool, Field(json_schema_extra=LOCAL)] = False
    """Whether to ask a model whose price nobody names, so that the cap holds only as far as the endpoint bills its replies."""
    workers: Annotated[int, Field(ge=1, le=16, json_schema_extra=LOCAL)] = 4

    @model_validator(mode="after")
    def _safe(self) -> VisionConfig:
        # Checked for the whole, not for the field, so that a key pasted in the wrong place is not quoted back.
        if re.search(r"[@?#\s]", self.endpoint) or not re.match(r"https?://", self.endpoint):
            raise ValueError("endpoint is a plain https address without user, key or query (http for localhost alone)")
        if re.search(r"\bsk-[\w-]{8,}", f"{self.endpoint} {self.model}"):
            raise ValueError("endpoint or model holds an API key; give it in the environment (SAE_LAB_VISION_KEY), in no file")
        if self.score_near_misses + self.score_random < 8:
            raise ValueError("score_near_misses and score_random make fewer than 8 negatives; a score needs 8 of each class")
        return self


class InterpretConfig(Model):
    """Naming, with abstention: offline by the text tower (`clip`), or by a `vision` model that is shown the pictures.

    `vocabulary: file` reads `vocabulary_file`, one word a line.
    """

    method: Literal["clip", "vision"] = "clip"
    latents: Latents = Latents()
    vision: VisionConfig = VisionConfig()
    vocabulary: Literal["builtin", "imagenet", "classes", "captions", "file"] = "builtin"
    vocabulary_file: str | None = Field(default=None, min_length=1, json_schema_extra=LOCAL)
    templates: tuple[str, ...] = ("a sketch of a {}", "a drawing of {}", "{}")
    percentile: Annotated[float, Field(gt=50, lt=100)] = 99.0
    random_directions: Annotated[int, Field(ge=50)] = 500
    seed: Annotated[int, Field(ge=0)] = 0

    def idle(self) -> frozenset[str]:
        """Nothing of the vision model's is asked of the text tower."""
        return frozenset(("vision",)) if self.method == "clip" else frozenset()

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


class SteerConfig(Model):
    """What is steered and how: by `recipe`, or `edits`; with neither, the latent with most effect is turned up."""

    domain: str | None = None
    image: Annotated[int, Field(ge=0)] | None = None
    edits: tuple[Edit, ...] | None = None
    recipe: Recipe | None = None
    """Replayed as it is, on its own image unless `domain` or `image` names another; refused on another dictionary."""
    sweep: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(default=(0.0, 0.5, 1.0, 2.0, 4.0), min_length=1)
    keep_error: bool = True
    renormalise: bool = False
    random_directions: Annotated[int, Field(ge=2)] = 20
    neighbours: Annotated[int, Field(ge=1, le=100)] = 12
    seed: Annotated[int, Field(ge=0)] = 0

    def idle(self) -> frozenset[str]:
        """A recipe says itself what is edited and how."""
        return frozenset(("recipe",) if self.recipe is None else ("edits", "keep_error", "renormalise", "seed"))

    @model_validator(mode="after")
    def _one(self) -> SteerConfig:
        if self.recipe is not None and self.edits is not None:
            raise ValueError("give recipe or edits, not both")
        return self


class ScanConfig(Model):
    """Which latents steer: the `latents` rated, on held-out `images` drawn evenly over the domains, against random directions."""

    latents: Latents = Latents()
    images: Annotated[int, Field(ge=1, le=256)] = 16
    sweep: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(default=(0.0, 0.5, 1.0, 2.0, 4.0), min_length=2)
    random_directions: Annotated[int, Field(ge=2, le=1000)] = 20
    seed: Annotated[int, Field(ge=0)] = 0


class RunConfig(Model):
    """A whole run: data of one or more domains, a CLIP, a dictionary, and everything made of them."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,63}$")] = "run"
    data: dict[str, Source]
    clip: ClipConfig = ClipConfig()
    sae: SaeConfig = SaeConfig()
    sweep: SweepConfig | None = None
    evaluate: EvaluateConfig = EvaluateConfig()
    collect: CollectConfig = CollectConfig()
    strokes: StrokesConfig = StrokesConfig()
    geometry: GeometryConfig = GeometryConfig()
    directions: DirectionsConfig = DirectionsConfig()
    interpret: InterpretConfig = InterpretConfig()
    visualize: VisualizeConfig = VisualizeConfig()
    steer: SteerConfig = SteerConfig()
    scan: ScanConfig = ScanConfig()

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
        if self.sweep is not None:
            SweepRun(sae=self.sae, sweep=self.sweep)
        named = {
            "sae.domains": self.sae.domains or (),
            "evaluate.templates": tuple(self.evaluate.templates),
            "evaluate.class_names": tuple(self.evaluate.class_names),
            "geometry.domains": self.geometry.domains or (),
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
