"""Which CLIP weights a name means, whether they are here, and whether they can be had: asked before anything is downloaded."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from sae_core.errors import InputError, Unavailable

BUNDLED = "bundled"
BUNDLED_VERSION = 1
EMBEDDED = f"the embedded alternative is the bundled demo model, clip.model: {BUNDLED}"
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
NETWORK_SECONDS = 5.0
"""How long a server may take to answer before its weights count as unavailable."""


class Requirements(TypedDict):
    """What `doctor` says of a model's weights: what they are, where they come from, how big, whether they are here."""

    weights: str
    source: str
    size: str
    present: bool


@dataclass(frozen=True)
class Weights:
    """A checked choice of weights, and where open_clip would get them.

    `name` is what open_clip is called with; `repo` and `files` (a Hub repository and the file names tried in order) say where a
    download comes from; None means that the weights lie in `folder` or `file`.
    """

    id: str
    name: str
    tag: str | None = None
    quick_gelu: bool = False
    repo: str | None = None
    files: tuple[str, ...] = ()
    folder: Path | None = None
    file: Path | None = None

    @property
    def source(self) -> str:
        """Where they come from, in words."""
        if self.repo is not None:
            return f"Hugging Face Hub, {self.repo}"
        return "in the package" if self.folder == bundled_folder() else str(self.folder or self.file)


def bundled_folder() -> Path:
    """The folder of the bundled demo model, inside the package wherever that is installed."""
    return Path(__file__).parent / "bundled"


def find_weights(model: str = BUNDLED, pretrained: str | None = None) -> Weights:
    """Check a model name and a weights tag against what open_clip knows; touches no network.

    Args:
        model: `bundled`, an open_clip architecture such as `ViT-B-32`, `hf-hub:owner/repo` or `local-dir:folder`.
        pretrained: a tag of the architecture such as `openai`, or a weights file; none for the other three kinds.

    Raises:
        InputError: an unknown model or tag (with the nearest names), a missing folder or file.
    """
    if model == BUNDLED:
        _no_tag(model, pretrained)
        folder = bundled_folder()
        return Weights(f"{BUNDLED}/v{BUNDLED_VERSION}", f"local-dir:{folder}", folder=folder)
    schema, _, rest = model.partition(":")
    if schema == "local-dir":
        _no_tag(model, pretrained)
        folder = Path(rest).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(f"no open_clip_config.json in {folder}; clip.model local-dir: needs a folder saved by open_clip")
        return Weights(f"local-dir/{folder.resolve().name}", f"local-dir:{folder.resolve()}", folder=folder)
    if schema == "hf-hub":
        _no_tag(model, pretrained)
        if not rest or rest.count("/") != 1:
            raise InputError(f"clip.model {model!r}: write it as hf-hub:owner/repository")
        return Weights(model, model, repo=rest, files=HUB_FILES)
    return _known(model, pretrained)


def _no_tag(model: str, pretrained: str | None) -> None:
    if pretrained is not None:
        raise InputError(f"clip.pretrained {pretrained!r} does not go with clip.model {model}; leave it out")


def _known(model: str, pretrained: str | None) -> Weights:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    names = open_clip.list_models()
    name = model.replace("/", "-")  # open_clip reads ViT-B/32 as ViT-B-32
    if name not in names:
        raise InputError(f"no CLIP model {model!r}; {_nearest(name, [BUNDLED, *names])}")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        known = f"one of {_some(tags)}" if tags else "a weights file"
        raise InputError(f"clip.pretrained is missing for {name} (without weights its outputs mean nothing); give {known}")
    quick = bool(open_clip.get_model_config(name).get("quick_gelu", False))
    cfg = get_pretrained_cfg(name, pretrained)
    if not cfg:
        file = Path(pretrained).expanduser()
        if not file.is_file():
            raise InputError(f"no weights {pretrained!r} for {name}; {_nearest(pretrained, tags)}, or give a file's path")
        return Weights(f"{name}/{file.name}", name, str(file), quick, file=file)
    # open_clip only warns when the tag was trained with QuickGELU and the architecture's config is without (ViT-B-32/openai).
    quick = quick or bool(cfg.get("quick_gelu", False))
    tag = pretrained.lower().replace("-", "_")
    # Every tag of open_clip 3 names a Hub repository, and a file in it where that is not the usual one.
    repo, file_name = os.path.split(cfg["hf_hub"])
    stem, extension = os.path.splitext(file_name)
    files = HUB_FILES if not file_name else (stem + ".safetensors", file_name) if extension in (".bin", ".pth") else (file_name,)
    return Weights(f"{name}/{tag}", name, tag, quick, repo=repo, files=files)


def _nearest(wanted: str, names: Iterable[str]) -> str:
    lower = {name.lower(): name for name in names}
    close = [lower[name] for name in difflib.get_close_matches(wanted.lower(), list(lower), n=3, cutoff=0.4)]
    return f"did you mean {' or '.join(close)}?" if close else f"there are {_some(list(lower.values()))}"


def _some(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def is_present(weights: Weights) -> bool:
    """Whether the weights lie on this machine, so that loading them needs no network."""
    if weights.repo is not None:
        from huggingface_hub import try_to_load_from_cache

        return any(isinstance(try_to_load_from_cache(weights.repo, name), str) for name in weights.files)
    if weights.folder is not None:
        return bool(_weight_files(weights.folder))
    return weights.file is not None and weights.file.is_file()


def _weight_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.suffix in (".safetensors", ".bin", ".pt", ".pth")]


def size_of(weights: Weights) -> str:
    """The weights' size in words: that of the file when it is here, else 4 bytes for each parameter of the architecture."""
    if weights.file is not None:
        return f"{weights.file.stat().st_size / 1e6:.1f} MB"
    if weights.folder is not None and is_present(weights):
        return f"{sum(path.stat().st_size for path in _weight_files(weights.folder)) / 1e6:.1f} MB"
    if weights.folder is not None or weights.name.startswith("hf-hub:"):
        return "size unknown"
    import open_clip
    import torch
    from open_clip.coca_model import CoCa

    config = open_clip.get_model_config(weights.name)
    if "hf_model_name" in config["text_cfg"]:
        return "size unknown"  # such a text tower's shape is itself on the Hub
    custom = config.pop("custom_text", False)
    kind = CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.device("meta"):
        parameters = sum(p.numel() for p in kind(**config).parameters())
    return f"about {parameters * 4 / 1e6:.0f} MB"


def requirements_of(model: str = BUNDLED, pretrained: str | None = None) -> Requirements:
    """What a model needs from outside, for `doctor`; downloads nothing. Raises InputError on unknown names."""
    weights = find_weights(model, pretrained)
    return {"weights": weights.id, "source": weights.source, "size": size_of(weights), "present": is_present(weights)}


def ensure_reachable(weights: Weights, seconds: float = NETWORK_SECONDS) -> None:
    """Return when the weights are here or their server answers; within `seconds`, not after minutes of retries.

    Raises:
        Unavailable: which weights, from where, how big, why, and the embedded alternative.
    """
    if is_present(weights):
        return
    if weights.folder is not None or weights.file is not None:
        raise Unavailable(f"no weights in {weights.folder or weights.file}; copy them there, or {EMBEDDED}")
    if weights.repo is not None and _offline():
        raise unavailable(weights, "HF_HUB_OFFLINE is set")
    reason = _within(seconds, lambda: _ask(weights, seconds))
    if reason is not None:
        raise unavailable(weights, reason)


def unavailable(weights: Weights, reason: str) -> Unavailable:
    """The one line for weights that cannot be had."""
    return Unavailable(f"cannot fetch CLIP weights {weights.id} from {weights.source} ({size_of(weights)}): {reason}; {EMBEDDED}")


def _offline() -> bool:
    from huggingface_hub import constants

    # The constant is read when huggingface_hub is imported; the variable may have been set since.
    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _ask(weights: Weights, seconds: float) -> str | None:
    """Ask for the file's head only; None when it is there, else why not."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    assert weights.repo is not None
    for name in weights.files:
        try:
            get_hf_file_metadata(hf_hub_url(weights.repo, name), timeout=seconds)
            return None
        except EntryNotFoundError:
            continue
        except Exception as error:  # the Hub client's network errors change class between its versions
            return _short(error)
    return f"it has none of {', '.join(weights.files)}"


def _within(seconds: float, ask: Callable[[], str | None]) -> str | None:
    """Run `ask` under a deadline that also bounds name resolution, which no socket time-out covers."""
    answer: list[str | None] = []
    thread = threading.Thread(target=lambda: answer.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:.0f} s"


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
