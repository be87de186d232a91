"""Names that a vision model gave: what page, exports and report say of them, however hostile they are; labels by hand."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import latents
from pages._ui.naming import listing, one, said, start
from tests.interpret.vision.loopback import Loopback
from tests.interpret.vision.oracle import HOSTILE, Oracle
from tests.pages.conftest import words

Open = Callable[..., AppTest]
LATENTS = 8


@pytest.fixture(scope="module")
def vision_cache(demo_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's cache with a second run of the same dictionary, named by the oracle."""
    cache = tmp_path_factory.mktemp("vision") / "cache"
    shutil.copytree(demo_cache, cache)
    store = sc.Store(cache)
    (run,) = sc.pipeline.runs(store)
    with Loopback(model=Oracle(run.open(store))) as server:
        settings = {
            "method": "vision",
            "latents": {"strongest": LATENTS},
            "vision": {"endpoint": server.url, "model": "test/seer"},
        }
        raw = {
            **run.config.model_dump(mode="json"),
            "name": "seen",
            "interpret": {**run.config.interpret.model_dump(mode="json"), **settings},
        }
        sc.pipeline.run("interpret", sc.config.validate(sc.RunConfig, raw, "test"), store)
    return cache


@pytest.fixture
def seen(vision_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sc.pipeline.Run]:
    """The run with the oracle's names; labels given in a test are taken away after it."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(vision_cache))
    store = sc.Store(vision_cache)
    (run,) = [run for run in sc.pipeline.runs(store) if run.name == "seen"]
    yield run.open(store)
    shutil.rmtree(vision_cache / "said", ignore_errors=True)


def table_of(app: AppTest) -> pd.DataFrame:
    assert not app.exception
    assert not app.error
    return next(table.value for table in app.dataframe if "detection_auroc" in table.value)


def named(have: sc.pipeline.Run) -> dict[int, str]:
    table = have.load("interpret").table
    ok = table[table["status"] == "ok"]
    return {int(j): str(label) for j, label in zip(ok["latent"], ok["label"], strict=True)}


# ---------------------------------------------------------------- what is shown


def test_the_table_holds_every_score_under_its_own_heading(seen: sc.pipeline.Run, open_page: Open) -> None:
    names = seen.load("interpret")
    app = open_page("interpret", run=seen.id)
    shown = table_of(app).set_index("latent")
    assert set(shown.index) == set(names.table["latent"])
    scores = names.scores().pivot_table(index="latent", columns="method", values="value")
    for latent in shown.index:
        record = next(one for one in names.records() if one["latent"] == latent)
        if record["status"] == "insufficient_data":
            assert pd.isna(shown.loc[latent, "score"])
            continue
        assert shown.loc[latent, "score"] == pytest.approx(scores.loc[latent, "detection"])
        assert shown.loc[latent, "intruder"] == pytest.approx(scores.loc[latent, "intruder"])
        assert shown.loc[latent, "cost"] == pytest.approx(record["cost"])
        assert (shown.loc[latent, "model_served"], shown.loc[latent, "prompt_version"]) == ("test/seer-served", "1")
    formats = listing._formats(names)
    assert formats["score"]["label"] == "balanced accuracy"
    assert formats["clip_consistency"]["label"] == "CLIP"
    assert listing._formats(sc.Names(names.table, {"method": "clip"}))["score"]["label"] == "AUROC"
    metrics = {metric.label: metric.value for metric in app.metric}
    assert {"Polysemantic", "Failed"} <= set(metrics)
    assert sum(int(value) for value in metrics.values()) == LATENTS
    assert f"Cost ${names.about['cost']:.4f}" in words(app).replace("\\", "")


def test_a_latent_in_full_shows_its_test_by_the_pictures_it_was_made_on(seen: sc.pipeline.Run, open_page: Open) -> None:
    latent = next(iter(named(seen)))
    record = next(one for one in seen.load("interpret").records() if one["latent"] == latent)
    app = open_page("interpret", run=seen.id, latent=str(latent))
    text = words(app).replace("\\", "")
    assert "Explanation" in text
    assert "Counterevidence" in text
    assert "80 of 100" in text
    cells = record["scores"]["detection"]["confusion"]
    for name, (title, short) in one.PARTS.items():
        if name != "unanswered":
            assert f"{title}**: {len(cells[name])} {short}" in text
    assert sum(map(len, cells.values())) == 40
    detection = record["scores"]["detection"]
    assert (
        f"Detection: balanced accuracy {detection['value']:.2f} [{detection['ci_low']:.2f}, {detection['ci_high']:.2f}]" in text
    )
    assert "Intruder test" in text
    test = next(one for one in app.selectbox if one.label == "Test")
    test.set_value("Intruder test, no name shown").run()
    assert not app.exception
    text = words(app).replace("\\", "")
    trials = record["scores"]["intruder"]["shown"]
    for nth, trial in enumerate(trials, 1):
        said_ = "not answered" if trial["answer"] is None else f"the model said {trial['answer']}"
        assert f"Trial {nth}: picture {trial['intruder']} is the intruder, {said_}" in text
    found = sum(trial["answer"] == trial["intruder"] for trial in trials)
    assert found / len(trials) == pytest.approx(record["scores"]["intruder"]["value"])


@pytest.mark.parametrize("page", ["overview", "gallery", "latent", "steer", "publish", "geometry", "draw"])
def test_every_page_that_reads_names_reads_these(page: str, seen: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page(page, run=seen.id, **({"latent": str(next(iter(named(seen))))} if page == "latent" else {}))
    assert not app.exception
    assert not app.error
    if page == "latent":
        text = words(app).replace("\\", "")
        assert "balanced accuracy" in text
        assert "AUROC" not in text


# ---------------------------------------------------------------- hostile names


def raw_markdown(app: AppTest) -> str:
    """What the page hands to Streamlit's markdown, escapes and all."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def assert_inert(text: str) -> None:
    """Nothing of a hostile name is markup in this Markdown: each of its signs is escaped."""
    assert "evil" in text or "onerror" in text or "label" in text
    unescaped = re.sub(r"\\[^\w\s]", "", text)
    for sign in ("<img", "![x", "](http", "`code`", "**bold**", "$x^2$", "\x1b", "\x00", "\u202e"):
        assert sign not in unescaped, sign


def test_hostile_names_are_text_in_every_page(seen: sc.pipeline.Run, open_page: Open) -> None:
    harm = named(seen)
    kinds = {latent % len(HOSTILE): latent for latent in harm}
    assert len(kinds) >= 3, "the oracle gave names of most kinds"
    for latent in kinds.values():
        for page in ("interpret", "latent"):
            assert_inert(raw_markdown(open_page(page, run=seen.id, latent=str(latent))))
    for page in ("overview", "gallery", "steer"):
        text = raw_markdown(open_page(page, run=seen.id))
        assert "<img src" not in re.sub(r"\\[^\w\s]", "", text)


def test_hostile_names_are_text_in_the_exports_and_the_report(seen: sc.pipeline.Run) -> None:
    names = seen.load("interpret")
    own = {7: sc.manual_label(7, HOSTILE[1], "=cmd|' /C calc'!A0")}
    table, whole = (listing._exported(names, own, place) for place in (0, 1))
    rows = list(csv.reader(io.StringIO(table.decode())))
    assert rows[0][:2] == ["latent_id", "interpretation"]
    for row in rows[1:]:
        for cell in row[1:]:
            assert not re.match(r"[=+@]|-(?!\d)", cell), cell
            assert cell.isprintable()
    records = json.loads(whole)["records"]
    assert {record["latent"]: record["label"] for record in records if record["label"]} == named(seen)
    report = sc.report_html(seen)
    body = re.sub(r"<script.*?</script>", "", report, flags=re.DOTALL)
    assert "<img src=x" not in body
    assert any(html.escape(label, quote=False) in body or html.escape(label) in body for label in named(seen).values())
    assert "score (balanced accuracy)" in body


# ---------------------------------------------------------------- labels by hand


def save_label(app: AppTest, latent: int, label: str, author: str) -> AppTest:
    app.text_input(key=f"label-text-{latent}").set_value(label)
    app.text_input(key=f"label-author-{latent}").set_value(author)
    return next(button for button in app.button if button.label == "Save and score").click().run()


def test_a_label_is_kept_beside_the_name_and_scored(seen: sc.pipeline.Run, open_page: Open, vision_cache: Path) -> None:
    store, latent = sc.Store(vision_cache), next(iter(named(seen)))
    app = save_label(open_page("interpret", run=seen.id, latent=str(latent)), latent, "curved lines", "A. Person")
    assert not app.error
    kept = sc.load_labels(store, seen.id)[latent]
    assert (kept.label, kept.author) == ("curved lines", "A. Person")
    assert 0 <= kept.scores["clip_consistency"]["value"] <= 1
    shown = table_of(app).set_index("latent").loc[latent]
    assert shown["shown"] == f"{said.MARK} curved lines"
    assert shown["label"] == named(seen)[latent]
    assert shown["manual_author"] == "A. Person"
    assert shown["manual_clip_consistency"] == pytest.approx(kept.scores["clip_consistency"]["value"])
    text = words(app).replace("\\", "")
    assert f"CLIP consistency: AUROC {kept.scores['clip_consistency']['value']:.2f}" in text

    assert latents.label(seen, latent) == f"{said.MARK} curved lines"
    card = words(open_page("latent", run=seen.id, latent=str(latent))).replace("\\", "")
    assert f"Latent {latent}: {said.MARK} curved lines" in card
    assert "by hand" in card
    gallery = open_page("gallery", run=seen.id, section="table")
    listed = next(table.value for table in gallery.dataframe if "sum" in table.value).set_index("latent")
    assert listed.loc[latent, "name"] == f"{said.MARK} curved lines"

    other = next(run for run in sc.pipeline.runs(store) if run.name == "small")
    assert sc.load_labels(store, other.id)[latent].label == "curved lines", "a label belongs to the dictionary"
    table = listing._exported(seen.load("interpret"), sc.load_labels(store, seen.id), 0).decode()
    assert "A. Person" in table
    save_label(open_page("interpret", run=seen.id, latent=str(latent)), latent, "", "A. Person")
    assert latent not in sc.load_labels(store, seen.id)


def test_a_label_is_tested_by_the_model_after_its_price_was_agreed_to(
    seen: sc.pipeline.Run, open_page: Open, vision_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent = next(iter(named(seen)))
    store = sc.Store(vision_cache)
    with Loopback(model=Oracle(seen)) as server:
        settings = sc.config.VisionConfig(endpoint=server.url, model="test/seer")
        sc.set_label(store, seen.id, latent, f"no match {latent}", "A")
        app = open_page("interpret", run=seen.id, latent=str(latent))
        monkeypatch.setattr("pages._ui.naming.edit.wanted", lambda current: current.model_copy(update={"vision": settings}))
        app.run()
        assert server.calls == 0
        app.button(key="label-estimate").click().run()
        assert server.calls == 0
        assert "80 pictures" in words(app).replace("\\", "")
        assert app.button(key="label-test").disabled
        next(box for box in app.checkbox if str(box.key).startswith("label-agree")).check().run()
        app.button(key="label-test").click().run()
        assert not app.error
        assert server.calls == 10
    kept = sc.load_labels(store, seen.id)[latent].scores["detection"]
    record = next(one for one in seen.load("interpret").records() if one["latent"] == latent)
    assert kept["value"] == pytest.approx(record["scores"]["detection"]["value"])
    assert kept["cost"] == pytest.approx(10 * 0.0012)


def test_where_strangers_use_the_app_a_label_is_the_visitors_own(
    seen: sc.pipeline.Run, open_page: Open, vision_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    latent = next(iter(named(seen)))
    app = save_label(open_page("interpret", run=seen.id, latent=str(latent)), latent, "loops", "me")
    assert table_of(app).set_index("latent").loc[latent, "shown"] == f"{said.MARK} loops"
    assert sc.load_labels(sc.Store(vision_cache), seen.id) == {}
    other = table_of(open_page("interpret", run=seen.id, latent=str(latent))).set_index("latent").loc[latent]
    assert other["shown"] == named(seen)[latent]


def test_a_label_without_an_author_is_refused_in_a_line(seen: sc.pipeline.Run, open_page: Open) -> None:
    latent = next(iter(named(seen)))
    app = save_label(open_page("interpret", run=seen.id, latent=str(latent)), latent, "loops", "")
    assert "needs its author" in app.error[0].value.replace("\\", "")


def test_the_pictures_of_an_offline_score_are_held_out_and_told_apart_by_the_name(
    seen: sc.pipeline.Run, vision_cache: Path
) -> None:
    run = next(run for run in sc.pipeline.runs(sc.Store(vision_cache)) if run.name == "small").open(sc.Store(vision_cache))
    names = run.load("interpret")
    best = names.table[names.table["status"] == "ok"].sort_values("score").iloc[-1]
    found = one.confusion(run, str(best["label"]), int(best["latent"]))
    material = start.material(run, run.config.interpret.seed)
    firing = set(run.load("collect").postings(int(best["latent"]))[0].tolist())
    shown = [int(row) for part in (found.tp, found.fp, found.fn, found.tn) for row in part]
    assert len(shown) == len(set(shown)) == len(material.evidence.score_rows)
    assert not material.evidence.explain[shown].any()
    assert (len(found.tp) + len(found.fn), len(found.fp) + len(found.tn)) == (best["positives"], best["negatives"])
    assert set(found.tp.tolist()) <= firing
    assert not set(found.tn.tolist()) & firing
    assert found.balanced_accuracy > 0.7
