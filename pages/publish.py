"""Publish: what can be taken out of the lab so far, as files that others can load, with the card that goes with them."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import guard, session
from pages._ui.bits import download
from pages._ui.page import page
from pages._ui.reproduce import commands
from pages._ui.text import count, size

QUESTION = (
    "What can be given to others? The dictionary, the names, the evaluation and a model card that says what was measured on "
    "what. No image of the data leaves: pictures have licences of their own."
)
PARTS = {
    "dictionary": "the dictionary (safetensors), as this project loads it",
    "seed": "the dictionary as the seed project's `sae_final.pt`",
    "sae_latents.csv": "the names with their scores, for a spreadsheet",
    "names.json": "the names with everything they were judged by",
    "report.json": "the evaluation, every number with n and interval",
    "per_class.parquet": "accuracy of every class",
    "eval.log": "the evaluation, a line for each domain",
    "README.md": "the model card",
}
CHECKS = {"train": "a trained dictionary", "evaluate": "an evaluation on held-out images", "interpret": "names of the latents"}


@st.cache_data(max_entries=4, max_size=500_000_000, show_spinner="Packing the files …")
def packed(keys: tuple[tuple[str, str], ...], _have: sc.pipeline.Run) -> dict[str, bytes]:
    """What the run exports: file name -> bytes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "export"
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in sc.export_run(_have, out)}


def zipped(files: dict[str, bytes]) -> bytes:
    """All files in one archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def checklist(have: sc.pipeline.Run) -> None:
    """What is in, what is not made yet."""
    st.subheader("What is in it", anchor=False)
    for stage, what in CHECKS.items():
        there = stage in have.outcomes
        st.markdown(
            f":material/{'check_circle' if there else 'radio_button_unchecked'}: {what[0].upper() + what[1:]}"
            + ("" if there else " — not made yet, left out")
        )


def contents(run: sc.pipeline.Recorded, have: sc.pipeline.Run) -> None:
    """The files, and their downloads."""
    files = packed(tuple(sorted(have.keys.items())), have)
    rows = [
        {"file": name, "what": PARTS.get(name) or PARTS.get(name.partition("/")[0], ""), "size": size(len(content))}
        for name, content in files.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    name = f"{run.name.replace(' ', '_')}-{run.id[4:12]}"
    whole = f"{count(len(files), 'file')}, {size(sum(map(len, files.values())))} before packing"
    download(st, f"Download all ({whole})", lambda: zipped(files), f"{name}.zip", primary=True)
    single = [one for one in ("sae_latents.csv", "report.json", "README.md") if one in files]
    for column, one in zip(st.columns(3), single, strict=False):
        download(column, one, files[one], one, key=f"get-{one}")
    with st.expander("The model card"):
        st.code(files["README.md"].decode(), language="markdown", wrap_lines=True)


def load_it() -> None:
    """How the download is read back."""
    st.subheader("Load it", anchor=False)
    st.markdown("Unpacked, three lines bring the dictionary back, here or in a notebook:")
    st.code(
        'import sae_core as sc\nsae = sc.load_sae("dictionary")\nz = sae.encode(x)  # x: float32 [n, d], raw image embeddings',
        language="python",
        wrap_lines=True,
    )


with page("Publish", QUESTION):
    chosen_run, made = guard.require("train", "It would offer the trained dictionary with its card.")
    checklist(made)
    contents(chosen_run, made)
    load_it()
    shell, _ = commands("publish", chosen_run.id, session.cache_folder())
    st.markdown("The same files in a folder, from the command line:")
    st.code(f"{shell} --out published", language="bash", wrap_lines=True)
