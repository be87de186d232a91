"""A run as a folder: dictionary in two formats, names, evaluation, latent grids, card. Nothing of the images' data set."""

from __future__ import annotations

import shutil
from pathlib import Path

from sae_core.errors import InputError
from sae_core.publish.card import Run, model_card
from sae_core.sae.formats import load_sae

COPIED = {
    "evaluate": ("report.json", "per_class.parquet", "eval.log"),
    "interpret": ("sae_latents.csv", "names.json"),
}


def export_run(run: Run, out: str | Path) -> list[Path]:
    """Write what can be published of a run to `out`: what the run has not made yet is left out.

    Returns: the files written.
    Raises: InputError when there is no dictionary yet, or `out` holds other files.
    """
    out = Path(out)
    if "train" not in run.paths:
        raise InputError(f"run {run.id} has no trained dictionary yet; train it first")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "dictionary").is_dir())):
        raise InputError(f"{out} is not an empty folder nor an earlier export; choose another")
    out.mkdir(parents=True, exist_ok=True)
    sae = load_sae(run.paths["train"])
    for name, form in (("dictionary", "native"), ("seed", "seed")):
        try:
            sae.save(out / name, format=form)
        except InputError:
            if form == "native":
                raise
            shutil.rmtree(out / name, ignore_errors=True)  # the seed's format holds ReLU dictionaries only
    for node, files in COPIED.items():
        if node in run.paths:
            for name in files:
                if (run.paths[node] / name).is_file():
                    shutil.copyfile(run.paths[node] / name, out / name)
    (out / "README.md").write_text(model_card(run), encoding="utf-8")
    return sorted(path for path in out.rglob("*") if path.is_file())
