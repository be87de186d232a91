"""The report holds what was measured, nothing from outside, and no name of the data as markup."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from sae_core import pipeline
from sae_core.cli import main
from sae_core.config import load_config
from sae_core.evaluate.stage import Evaluation
from sae_core.publish.report import report_html
from sae_core.publish.report.html import between, esc, figure, number, p_value, percent, table
from sae_core.publish.report.sections import SECTIONS
from sae_core.store import Store

ROOT = Path(__file__).parents[2]
EVIL = "</script><img src=http://evil.example/x onerror=alert(1)>"
VOID = {"meta", "br", "img", "link", "input", "hr"}
SMALL = [
    "name=small",
    "data.sketch.n=280",
    "data.photo.n=280",
    "sae.width=64",
    "sae.architecture.k=6",
    "sae.batch_size=64",
    "sae.steps=60",
    "geometry.draws=100",
    "evaluate.bootstrap=100",
    "sweep={k: [4], seed: [0, 1]}",
    "interpret.random_directions=50",
]


class Page(HTMLParser):
    """A document read back: which elements with which attributes, its text, the scripts, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append((dict(attrs).get("type") or "", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            kind, content = self.scripts[-1]
            self.scripts[-1] = (kind, content + data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)
            if self.open[-1] in ("td", "th"):
                self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def with_tag(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def run(cache: Path) -> pipeline.Run:
    """A small drawn run with everything that a report tells of."""
    config, store = load_config(ROOT / "configs" / "demo.yaml", SMALL), Store(cache / "cache")
    for stage in ("evaluate", "collect", "interpret", "geometry", "sweep"):
        pipeline.run(stage, config, store)
    return pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)


@pytest.fixture(scope="module")
def page(run: pipeline.Run) -> Page:
    return Page(report_html(run))


def test_it_is_a_whole_document_that_asks_for_nothing(page: Page, run: pipeline.Run) -> None:
    assert not page.open, "every element is closed"
    assert page.with_tag("html") == [{"lang": "en"}]
    assert not page.with_tag("img") + page.with_tag("link") + page.with_tag("iframe")
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset")], tag
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(one for one in page.with_tag("meta") if one.get("http-equiv") == "Content-Security-Policy")["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert len(report_html(run).encode()) < 6_000_000


def test_headings_tables_and_figures_can_be_read_without_seeing_them(page: Page) -> None:
    assert len(page.with_tag("h1")) == 1
    tables = len(page.with_tag("table"))
    assert tables >= 12
    assert len(page.with_tag("caption")) == tables
    assert {one.get("scope") for one in page.with_tag("th")} == {"col", "row"}
    plots = [one for one in page.with_tag("div") if one.get("class") == "plot"]
    assert len(plots) >= 10
    assert all(one["role"] == "img" and one["aria-label"] for one in plots)
    ids = [one["id"] for one in page.with_tag("section")]
    assert len(set(ids)) == len(ids)
    assert [one["href"] for one in page.with_tag("a")] == [f"#{identity}" for identity in ids]


def test_every_figure_is_data_that_plotly_can_read_and_none_needs_webgl(page: Page) -> None:
    drawn = [json.loads(content) for kind, content in page.scripts if kind == "application/json"]
    assert len(drawn) == sum(one.get("class") == "plot" for one in page.with_tag("div"))
    assert all(one["data"] and "layout" in one for one in drawn)
    # WebGL compiles code as it runs, which the page's policy forbids.
    assert not {trace["type"] for one in drawn for trace in one["data"]} & {"scattergl", "heatmapgl"}


def test_the_numbers_are_the_evaluation_s_with_n_interval_and_p(page: Page, run: pipeline.Run) -> None:
    report = run.load("evaluate").report
    for name, found in report["domains"].items():
        z = found["zero_shot"]
        own = next(row for row in page.rows if row[:2] == [name, "CLIP+SAE"])
        assert own[2] == f"{int(z['n']):,}"
        q = found["reconstruction"]
        assert own[4] == f"{q['r2']:.3f} [{q['r2_ci_low']:.3f}, {q['r2_ci_high']:.3f}]"
        assert own[5].startswith(f"{100 * z['accuracy_sae']:.1f} [")
        assert own[6] == f"{100 * z['delta']:+.1f} [{100 * z['delta_ci_low']:+.1f}, {100 * z['delta_ci_high']:+.1f}]"
        assert own[7] == p_value(z["mcnemar_p"])
        for control in found["controls"]:
            row = next(row for row in page.rows if row[:2] == [name, control["name"]])
            assert row[4] == number(control["r2"])
            assert row[6] == between(control["delta"], control["delta_ci_low"], control["delta_ci_high"], "+.1f")
    classes = run.load("evaluate").per_class
    assert sum(row[:1] == ["sketch"] and len(row) == 6 and row[1] in set(classes["class"]) for row in page.rows) >= 54


def test_verdicts_seeds_names_and_provenance_are_there(page: Page, run: pipeline.Run) -> None:
    judged = run.load("geometry").report["domains"]["sketch"]
    shares = judged["dictionaries"]["random dictionary"]
    row = next(row for row in page.rows if row[:2] == ["sketch", "random dictionary"] and row[2] == f"{judged['n']:,}")
    assert row[3] == f"{shares['tested']:,}"
    assert row[4] == between(shares["geometric"]["share"], shares["geometric"]["low"], shares["geometric"]["high"])
    assert run.id in page.text
    for key in run.keys.values():
        assert key in page.text
    assert sum(row[:1] == ["topk"] and "k 4" in row[1] and row[3] == "2" for row in page.rows) == 1, "one pair of seeds"
    assert "steps: 60" in page.text, "the configuration as it was run"
    for word in ("that none beats", "McNemar", "Wilson", "Domain shift", "circular"):
        assert word in page.text


def test_what_was_not_made_says_how_to_make_it_or_why_not(run: pipeline.Run) -> None:
    bare = dataclasses.replace(run, outcomes={name: run.outcomes[name] for name in ("manifest:sketch", "train")})
    text = Page(report_html(bare, {"geometry": "the pictures have no <classes>"})).text
    for command in ("evaluate", "collect", "geometry", "interpret", "sweep"):
        assert f"python -m sae_core {command} --config FILE" in text
    assert "the pictures have no <classes>" in text


def test_a_hostile_class_name_or_caption_stays_text(run: pipeline.Run, tmp_path: Path) -> None:
    folder = tmp_path / "evaluate"
    shutil.copytree(run.paths["evaluate"], folder)
    content = json.loads((folder / "report.json").read_text())
    for found in content["domains"].values():
        found["zero_shot"]["classes"][0] = EVIL
        found["zero_shot"]["templates"][0] = EVIL + "{}"
        found["notes"].append(EVIL)
    (folder / "report.json").write_text(json.dumps(content))
    classes = pd.read_parquet(folder / "per_class.parquet")
    classes.loc[classes["class"] == classes["class"].iat[0], "class"] = EVIL
    classes.to_parquet(folder / "per_class.parquet", index=False)
    outcomes = {**run.outcomes, "evaluate": dataclasses.replace(run.outcomes["evaluate"], path=folder)}
    text = report_html(dataclasses.replace(run, outcomes=outcomes))
    assert EVIL in Evaluation.load(folder).report["domains"]["sketch"]["notes"]
    assert "evil.example" in text, "it is shown"
    found = Page(text)
    assert not found.open
    assert not found.with_tag("img")
    assert not re.search(r"<img src=http", text)


def test_one_section_makes_one_entry_and_a_run_without_a_sweep_none_of_it(run: pipeline.Run) -> None:
    assert len(SECTIONS) == len({make.__name__ for make in SECTIONS})
    without = dataclasses.replace(run, config=run.config.model_copy(update={"sweep": None}))
    assert not [one for one in Page(report_html(without)).with_tag("section") if one["id"] == "sweep"]


# ---------------------------------------------------------------- the command


def test_the_command_writes_captioned_data_and_says_why_there_is_no_geometry(
    captioned_arrays: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    words = ["report", "--config", str(ROOT / "configs" / "embeddings.yaml"), "--cache", str(tmp_path / "cache"), "--json"]
    words += ["--set", f"data={{patents: {{source: arrays, path: '{captioned_arrays(d=512)}', encoder: ViT-B-32/openai}}}}"]
    words += ["--set", "sae.width=32", "--set", "sae.architecture.k=4", "--set", "sae.steps=30", "--set", "sae.batch_size=32"]
    assert main([*words, "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["refused"]) >= {"geometry"}
    assert printed["out"] == str(out)
    page = Page(out.read_text(encoding="utf-8"))
    assert printed["refused"]["geometry"] in page.text
    evaluated = next((tmp_path / "cache" / "evaluate").glob("evaluate-*"))
    r = Evaluation.load(evaluated).report["domains"]["patents"]["recall"]
    row = next(row for row in page.rows if row[:3] == ["patents", "recall@10", "CLIP+SAE"])
    assert row[3] == f"{int(r['n']):,}"
    assert row[5] == percent(r["recall_10_sae"])
    assert row[6] == between(r["recall_10_delta"], r["recall_10_delta_ci_low"], r["recall_10_delta_ci_high"], "+.1f")
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "give a file" in capsys.readouterr().err


# ---------------------------------------------------------------- html


def test_numbers_are_told_as_they_are_and_absent_ones_as_a_dash() -> None:
    assert between(0.123, 0.1, 0.2) == "12.3 [10.0, 20.0]"
    assert between(0.123, None, float("nan")) == "12.3"
    assert between(None, 0, 1) == number(None) == percent(float("nan")) == p_value(None) == "–"
    assert (p_value(0.04321), p_value(1e-9), p_value(1.0)) == ("0.043", "< 0.0001", "1")


def test_a_table_escapes_every_cell_and_heads_its_rows() -> None:
    page = Page(table("<caption>", ["<a>", "b"], [["<c>", "&"]]))
    assert page.rows == [["<a>", "b"], ["<c>", "&"]]
    assert page.with_tag("th") == [{"scope": "col"}, {"scope": "col", "class": "n"}, {"scope": "row"}]
    assert esc('"') == "&quot;"


def test_no_name_in_a_figure_ends_its_script() -> None:
    import plotly.graph_objects as go

    made = figure(go.Figure(layout={"title": "</script><script>alert(1)</script>"}), "a figure")
    assert made.count("</script>") == 1
    ((_, content),) = Page(made).scripts
    assert json.loads(content)["layout"]["title"]["text"] == "</script><script>alert(1)</script>"
