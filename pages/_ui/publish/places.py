"""The destinations: a download, the Hub, a static site, a Space. Each says what it needs and what became of it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

import sae_core as sc
from pages._ui import session
from pages._ui.bits import download
from pages._ui.publish import token
from pages._ui.reproduce import commands
from pages._ui.text import count, plain, size

PARTS = {
    "README.md": "the model card",
    "run.yaml": "the configuration, without this machine's paths",
    "publication.json": "what is there, with every hash; `import` reads it",
    "dictionary": "the dictionary and how training went, as this project loads it",
    "evaluation": "the evaluation: every number with n and interval, and its tables",
    "names": "the latents' names with their scores and what they were judged by",
    "seed": "the dictionary as the seed project's `sae_final.pt`",
    "saelens": "the dictionary as SAELens loads it",
    "dictionary_learning": "the dictionary as dictionary_learning loads it",
    "sparsify": "the dictionary as sparsify loads it",
}
SPACES = {
    "Static site": "the latent browser as files; free to host",
    "App": "this app in a Docker container, in public mode, with the run baked in; may need a paid plan",
}
_LAST = "_published"


def zipped(files: dict[str, bytes]) -> bytes:
    """All files in one archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _archive(folder: Path) -> bytes:
    return zipped(
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    )


def shell(run: sc.pipeline.Recorded, destination: str) -> None:
    """The command that does the same."""
    line, _ = commands("publish", run.id, session.shown_cache())
    before, after = line.split(" --config", 1)
    st.markdown("The same from the command line:")
    st.code(f"{before} {destination} --config{after}", language="bash", wrap_lines=True)


def to_file(run: sc.pipeline.Recorded, files: dict[str, bytes]) -> None:
    """The files, and their download."""
    rows = [
        {"file": name, "what": PARTS.get(name) or PARTS.get(name.partition("/")[0], ""), "size": size(len(content))}
        for name, content in files.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    whole = f"{count(len(files), 'file')}, {size(sum(map(len, files.values())))} before packing"
    download(st, f"Download all ({whole})", lambda: zipped(files), f"{_name(run)}.zip", primary=True)
    single = [one for one in ("names/sae_latents.csv", "evaluation/report.json", "README.md") if one in files]
    for column, one in zip(st.columns(3), single, strict=False):
        download(column, one.rpartition("/")[2], partial(files.__getitem__, one), one.rpartition("/")[2], key=f"get-{one}")
    st.markdown("Unpacked, three lines bring the dictionary back, here or in a notebook:")
    st.code(
        'import sae_core as sc\nsae = sc.load_sae("dictionary")\nz = sae.encode(x)  # x: float32 [n, d], raw image embeddings',
        language="python",
        wrap_lines=True,
    )
    shell(run, "folder published")


def to_hub(run: sc.pipeline.Recorded, made: sc.pipeline.Run, licences: sc.Licences, allowed: bool) -> None:
    """The Hub: repository, who sees it, whose token; then every step, and the same button again after trouble."""
    st.markdown("One commit to a repository of the Hub, private unless you say otherwise; the same run again changes nothing.")
    repo = st.text_input("Repository", key="hub-repo", placeholder="owner/name", max_chars=200).strip()
    everyone = st.checkbox("For everyone to see", key="hub-public")

    def send(report: sc.Report) -> str:
        done = sc.push_run(made, repo, token=token.typed(), private=not everyone, licences=licences, report=report)
        what = f"{count(len(done.uploaded), 'file')} sent" if done.changed else "nothing had changed"
        seen = "private" if done.private else "public"
        return f"{plain(done.repo)} holds this run ({seen}): {what}, commit {done.commit[:10]}."

    _sending(run, "hub", allowed, repo, send)
    shell(run, "hub OWNER/NAME")


def _sending(run: sc.pipeline.Recorded, kind: str, allowed: bool, repo: str, send: Callable[[sc.Report], str]) -> None:
    """The token, the button, every step, and what became of it: the same button goes on after trouble."""
    token.field()
    usable = allowed and bool(repo) and token.usable()
    # A disabled button is no wall: without a token of their own a stranger would use the server's.
    asked = st.button("Publish on the Hub", type="primary", key=f"{kind}-go", icon=":material/upload:", disabled=not usable)
    if asked and usable:
        with st.status("Publishing …", expanded=True) as status:
            told = ""

            def report(event: sc.Event) -> None:
                nonlocal told
                if event.message and event.message != told:
                    told = event.message
                    status.update(label=f"Publishing: {plain(told)}")
                    status.write(plain(told))

            try:
                said = ("done", send(report))
            except sc.SaeLabError as error:
                status.update(label="Not published", state="error")
                said = ("failed", plain(error) + " Publish again to go on: what is stored there is not sent twice.")
            else:
                status.update(label="Published", state="complete")
        st.session_state[_LAST] = {(run.id, kind): said}
    if (last := st.session_state.get(_LAST, {}).get((run.id, kind))) is not None:
        (st.success if last[0] == "done" else st.error)(last[1])


def to_site(run: sc.pipeline.Recorded, made: sc.pipeline.Run, licences: sc.Licences) -> None:
    """The static site, made when it is asked for."""
    st.markdown(
        "The latent browser as files: it needs no server, opens from a folder, and is free as a static Space. Pictures are in it "
        "for the drawn world alone."
    )
    _prepared(
        run,
        "site",
        "Make the site",
        lambda out: sc.write_site(made, out, licences=licences),
        "collect" in made.outcomes,
        "the activations",
    )
    shell(run, "site DIR")


def to_space(run: sc.pipeline.Recorded, made: sc.pipeline.Run, licences: sc.Licences, allowed: bool) -> None:
    """The Space: the app in a container, or the site, which is free."""
    st.markdown(f"A Space shows the run to whoever may see it. {sc.PLAN_NOTE}")
    kind = st.radio("What it is", list(SPACES), key="space-kind", captions=list(SPACES.values()))
    static = kind == "Static site"
    repo = st.text_input("Space", key="space-repo", placeholder="owner/name", max_chars=200).strip()
    everyone = st.checkbox("For everyone to see", key="space-public")

    def send(report: sc.Report) -> str:
        done = sc.push_space(
            made, repo, token=token.typed(), static=static, private=not everyone, licences=licences, report=report
        )
        return f"The Space {plain(repo)} holds this run: {count(len(done.files), 'file')}, {size(done.bytes)}."

    _sending(run, "space", allowed, repo, send)
    shell(run, "space OWNER/NAME" + (" --static" if static else ""))


def _prepared(run: sc.pipeline.Recorded, kind: str, label: str, write: Callable[[Path], object], there: bool, needs: str) -> None:
    """A button that writes an archive, and then its download; it is kept for this visit."""
    if not there:
        st.info(f"It needs {needs}, which this run has not made yet.")
        return
    kept = st.session_state.setdefault("_archives", {})
    if st.button(label, key=f"make-{kind}", type="primary", icon=":material/build:"):
        with st.spinner("Writing …"), tempfile.TemporaryDirectory() as folder:
            try:
                write(Path(folder) / kind)
            except sc.SaeLabError as error:
                st.error(plain(error))
                return
            kept.clear()  # one archive a visit is enough to hold
            kept[kind, run.id] = _archive(Path(folder) / kind)
    if (data := kept.get((kind, run.id))) is not None:
        download(st, f"Download the {kind} ({size(len(data))})", lambda: data, f"{_name(run)}-{kind}.zip", key=f"get-{kind}")


def _name(run: sc.pipeline.Recorded) -> str:
    return f"{run.name.replace(' ', '_')}-{run.id[4:12]}"
