"""EleutherAI's sparsify (`eai-sparsify`): TopK in `sae.safetensors` and `cfg.json`; the decoder bias is subtracted first.

Source: `SparseCoder.save_to_disk` and `load_from_disk` of eai-sparsify 1.3.
"""

from __future__ import annotations

from pathlib import Path

from sae_core.errors import InputError
from sae_core.sae.architectures import SAE
from sae_core.sae.formats.files import (
    Format,
    agree,
    architecture,
    encoder_of,
    named,
    read_header,
    read_json,
    read_safetensors,
    theirs,
    write_json,
    write_safetensors,
)
from sae_core.sae.formats.fold import folded, unfolded

WEIGHTS, CFG = "sae.safetensors", "cfg.json"
NAMES = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
IMPOSSIBLE = {
    "transcode": "a transcoder predicts other activations than it reads",
    "skip_connection": "a skip connection passes the embedding by the codes",
    "signed": "signed codes can be negative",
}


def _matches(file: Path) -> bool:
    header = read_header(file) if file.suffix == ".safetensors" else None
    return header is not None and "encoder.weight" in header.names


def _read(file: Path) -> SAE:
    cfg = read_json(file.with_name(CFG))
    for name, why in IMPOSSIBLE.items():
        if cfg.get(name):
            raise InputError(f"{CFG} says {name}: {why}; only plain TopK dictionaries can be imported")
    if cfg.get("activation", "topk") != "topk":
        raise InputError(f"{CFG} says activation = {cfg['activation']!r}; only topk can be imported")
    tensors, _ = read_safetensors(file)
    topk = architecture({"kind": "topk", "k": cfg.get("k")})
    sae = unfolded(topk, named(tensors, NAMES, "a sparsify file"), centred=True, encoder=encoder_of(cfg))
    width = {"num_latents": sae.m} if cfg.get("num_latents") else {"expansion_factor": sae.m / sae.d}
    agree(cfg, CFG, {"d_in": sae.d, **width})
    return sae


def _write(sae: SAE, file: Path) -> None:
    write_safetensors(theirs(folded(sae, centred=True), NAMES), file)
    cfg = {
        "activation": "topk",
        "expansion_factor": max(1, sae.m // sae.d),
        "normalize_decoder": False,  # in raw embedding units the rows are not of length 1
        "num_latents": sae.m,
        "k": sae.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": sae.d,
        "encoder": sae.encoder_id,
    }
    write_json(cfg, file.with_name(CFG))


SPARSIFY = Format("sparsify", (WEIGHTS, CFG), ("topk",), _matches, _read, _write)
