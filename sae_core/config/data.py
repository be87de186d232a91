"""Where images come from: one model a kind of source."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field

from sae_core.config.base import LOCAL, Model


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
