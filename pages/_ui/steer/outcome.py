"""What steering one image did: labels, verdict, nearest images, what else changed. Each part says for which values it holds.

Labels, pictures and latents are one element each, whose content changes at once: a visitor sees the result of the values that
stand above it, or of none. What takes long is shown faded by Streamlit until the new result is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

import sae_core as sc
from pages._ui import latents, theme
from pages._ui.drawing import bars
from pages._ui.drawing.bars import Bar, Picture, Row, Section
from pages._ui.text import plain
from pages._ui.thumbs import Thumb, media_url

CURVES, LABELS, OTHERS = 5, 6, 8
CONTROLS: dict[str, str] = {
    "edited": "As edited",
    "none": "No edit",
    "reconstruction": "Reconstruction only",
    "random": "Random direction, as far",
}
INSTEAD = {
    "none": "the image as it is",
    "reconstruction": "what the dictionary makes of it without an edit",
    "random": "a random direction, as far as the edit goes",
}
VERDICTS = {
    "steerable": ":green-badge[steerable]",
    "weak": ":orange-badge[weak]",
    "no effect beyond random": ":gray-badge[no effect beyond random]",
}


def said(recipe: sc.Recipe, names: sc.Names, control: str = "edited") -> str:
    """The values that a result is of, in words: `latent 12 set to 2.00 ×`; in full, since a reader goes by it."""
    words = []
    for edit in {edit.latent: edit for edit in recipe.edits}.values():
        name = names.label(edit.latent)
        what = f"latent {edit.latent}" + (f" ({name})" if name else "")
        unit = recipe.maxima.get(edit.latent)
        match edit.op:
            case "ablate":
                words.append(f"{what} switched off")
            case "clamp":
                words.append(f"{what} set to {edit.value:.2f} ×")
            case "set":
                words.append(f"{what} set to {edit.value:.3g}")
            case "add":
                words.append(f"{what} {edit.value / unit:+.2f} ×" if unit else f"{what} {edit.value:+.3g}")
    edited = "; ".join(words) or "no edit"
    return edited if control == "edited" else f"{INSTEAD[control]} (the edit: {edited})"


def verdict(done: Any) -> None:
    """Warnings, and the verdict on the edit."""
    for note in done.result["notes"]:
        st.warning(plain(note))
    if done.result["verdict"]:
        st.markdown(f"{VERDICTS.get(done.result['verdict'], plain(done.result['verdict']))} {plain(done.result['reason'])}.")


def labels(done: Any, about: str) -> list[Section]:
    """The labels before and after, and each edited latent: did it fire here, does it when the result is encoded again."""
    shades, result = theme.colours(), done.result
    rows = [
        Row(
            one["label"],
            (
                Bar(one["before"], f"{100 * one['before']:.1f} %", shades["clip"]),
                Bar(one["after"], f"{100 * one['after']:.1f} %", shades["sae"]),
            ),
        )
        for one in result["labels"]["shown"][:LABELS]
    ]
    note = f"Grey: as it is; violet: {about}. {result['labels']['note']}; cosine of before and after {result['cosine']:.3f}."
    found = [Section("Labels before and after", tuple(rows), note)]
    return [*found, *_edited(done)]


def _edited(done: Any) -> Iterator[Section]:
    back = {one["latent"]: one["value"] for one in done.result["read_back"]}
    rows = []
    for edit in done.result["edits"]:
        unit = edit["maximum"] or 1.0
        name = f"latent {edit['latent']}" + (f": {edit['name']}" if edit["name"] else "")
        was = f"was active here at {edit['activation'] / unit:.2f} ×" if edit["active"] else "was silent here"
        now = f"encoded again it is at {back.get(edit['latent'], 0.0) / unit:.2f} ×"
        rows.append(Row(name, (), f"{was}; {now}", id=edit["latent"]))
    if rows:
        yield Section("The edited latents", tuple(rows))


def nearest(have: sc.pipeline.Run, done: Any, about: str) -> list[Section]:
    """The nearest images of the embedding as it was and as it is now, and latents that changed without being asked to."""
    result, means = done.result, done.result["neighbour_activation"]
    rows = []
    for side, title in (("before", "as it is"), ("after", about)):
        found = done.neighbours[done.neighbours["side"] == side]
        thumbs = latents.of_rows(have, found["row"], found["cosine"])
        rows.append(Row(title, (), pictures=tuple(_pictures(thumbs, side))))
    note = (
        f"By cosine, near-duplicates once, the image itself left out. Shared by both: Jaccard {result['steer_jaccard']:.2f}. "
        f"The first edited latent fires on them at {means['before']:.2f} on average before, {means['after']:.2f} after."
    )
    return [Section("Nearest images", tuple(rows), note), _collateral(done, about)]


def _pictures(thumbs: Sequence[Thumb], side: str) -> Iterator[Picture]:
    edges = theme.colours()
    for at, thumb in enumerate(thumbs):
        url = media_url(thumb.image, f"steer-near-{side}-{at}")
        yield Picture(url, thumb.label, edges.get(thumb.rendering or ""))


def _collateral(done: Any, about: str) -> Section:
    shades, counts = theme.colours(), done.result["active_count"]
    rows = [
        Row(
            f"latent {one['latent']}" + (f": {one['name']}" if one["name"] else ""),
            (Bar(abs(one["value"]), f"{one['value']:+.2f} ×", shades["sae" if one["value"] > 0 else "clip"]),),
            id=one["latent"],
        )
        for one in done.result["collateral"][:OTHERS]
    ]
    note = (
        f"When {about} is encoded again; change in units of each latent's maximum. {counts['before']} latents active before, "
        f"{counts['after']} after; {100 * done.result['steer_specificity']:.0f} % of all change is in the edited latents."
    )
    return Section("What else changed", tuple(rows), note)


def show(sections: Sequence[Section], key: str, seq: int) -> None:
    """Show the sections; a latent that is clicked opens its card."""
    latent = bars.show(sections, key, seq)
    if latent is not None:
        latents.open_latent(latent)


def curves(done: Any, random: int) -> None:
    """The labels that move most along the sweep, with the band of random directions for the one that rises."""
    if done.curves.empty:
        return
    frame = done.curves
    order = list(dict.fromkeys([done.result["raised"], *frame["label"]]))[:CURVES]
    frame = frame[frame["label"].isin(order)].sort_values("label", key=lambda labels: labels.map(order.index), kind="stable")
    leading = frame[frame["label"] == order[0]].rename(columns={"random_low": "low", "random_high": "high"})
    edited = ", ".join(str(edit["latent"]) for edit in done.result["edits"])
    title = f"Latent {edited} from 0 to 4 × maximum" if "," not in edited else f"Latents {edited} together, 0 to 4 × maximum"
    theme.show(sc.figures.label_curves(frame, leading[["strength", "low", "high"]], title=title), key="steer-curves")
    st.caption(plain(f"The band: {order[0]} under {random} random directions as long as the edit, 5th to 95th percentile."))
