"""The geometry page: verdicts with their controls, the latents, what each follows, the domain shift, what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.geometry import one, verdicts
from tests.pages.conftest import words

Open = Callable[..., AppTest]


@pytest.fixture
def judged(judged_cache: Path, monkeypatch: pytest.MonkeyPatch) -> sc.pipeline.Run:
    """Points the pages at the cache with verdicts; the small run, opened."""
    monkeypatch.setenv("SAE_LAB_CACHE", str(judged_cache))
    store = sc.Store(judged_cache)
    return next(run for run in sc.pipeline.runs(store) if run.name == "small").open(store)


def sound(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    assert "Something went wrong" not in words(app)
    return app


def choose(app: AppTest, key: str, value: object) -> AppTest:
    (group,) = [found for found in app.button_group if found.key == key]
    return group.set_value(value).run()


def test_a_run_without_verdicts_offers_to_make_them(on_demo: Path, open_page: Open) -> None:
    app = sound(open_page("geometry"))
    assert "about a hundred a second" in words(app)
    assert "make-geometry" in [button.key for button in app.button]


def test_the_table_holds_every_dictionary_judged_with_its_interval(judged: sc.pipeline.Run, open_page: Open) -> None:
    report = judged.load("geometry").report
    app = sound(open_page("geometry", run=judged.id))
    table = next(found.value for found in app.dataframe if "judged" in found.value).set_index(["domain", "judged"])
    for domain, found in report["domains"].items():
        for kind, shares in found["dictionaries"].items():
            line = table.loc[(domain, kind)]
            assert line["tested"] == shares["tested"]
            geometric = shares["geometric"]
            expected = f"{100 * geometric['share']:.1f} % [{100 * geometric['low']:.1f}, {100 * geometric['high']:.1f}]"
            assert line["geometric"] == expected
            assert sum(shares[verdict]["latents"] for verdict in verdicts.VERDICTS) == shares["tested"]
        for claim in sc.geometry_claims(found):
            assert claim in words(app).replace("\\", "")


def test_the_latents_are_filtered_by_verdict_and_measure(judged: sc.pipeline.Run, open_page: Open) -> None:
    latents = judged.load("geometry").latents
    own = latents[latents["domain"] == "photo"]
    app = choose(open_page("geometry", run=judged.id), "geometry-domain", "photo")
    app = sound(choose(app, "geometry-verdict", ["semantic"]))
    expected = own[own["verdict"] == "semantic"]
    table = next(found.value for found in app.dataframe if "geometric_effect" in found.value)
    assert set(table["latent"]) == set(expected["latent"])
    measure = expected["measure"].iloc[0]
    app = sound(app.selectbox(key="geometry-measure").set_value(measure).run())
    table = next(found.value for found in app.dataframe if "geometric_effect" in found.value)
    assert set(table["latent"]) == set(expected.loc[expected["measure"] == measure, "latent"])
    app = sound(choose(app, "geometry-verdict", []))
    assert "No latent passes these filters" in words(app)


def test_what_a_latent_follows_comes_strongest_first(judged: sc.pipeline.Run) -> None:
    measures = judged.load("geometry").measures
    latent = int(measures["latent"].iloc[0])
    domain = str(measures["domain"].iloc[0])
    found = one.follows(judged, domain, latent)
    assert found["rho"].abs().is_monotonic_decreasing
    assert len(found) == ((measures["latent"] == latent) & (measures["domain"] == domain)).sum()


def test_two_dictionaries_are_compared_in_a_sentence_each(judged: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("geometry", run=judged.id)
    store = sc.Store(judged.outcomes["train"].path.parents[1])
    other = next(run for run in sc.pipeline.runs(store) if run.name == "photo only")
    app = sound(app.multiselect(key=verdicts.OTHER).set_value([other.id]).run())
    table = next(found.value for found in app.dataframe if "judged" in found.value)
    assert set(table["run"]) == {"small", "photo only"}
    own, others = (run.load("geometry").report["domains"] for run in (judged, other.open(store)))
    said = words(app).replace("\\", "")
    for domain in ("sketch", "photo"):
        for sentence in sc.geometry_contrast("small", own[domain], "photo only", others[domain]):
            assert f"- On {domain}: {sentence}" in said


def test_the_card_of_a_latent_says_its_verdict(judged: sc.pipeline.Run, open_page: Open) -> None:
    latents = judged.load("geometry").latents
    row = latents[latents["verdict"] == "semantic"].iloc[0]
    app = sound(open_page("latent", run=judged.id, latent=str(row["latent"])))
    assert f"on {row['domain']} :gray-badge[semantic]" in words(app)


def test_a_card_without_geometry_says_nothing_of_it(on_demo: Path, open_page: Open) -> None:
    assert "Strokes or class" not in words(sound(open_page("latent")))


def test_the_domain_shift_counts_every_latent_once(judged: sc.pipeline.Run, open_page: Open) -> None:
    acts = judged.load("collect")
    n = {str(domain): int(rows) for domain, rows in acts.images["domain"].value_counts().items()}
    tabs = sc.domain_shift(acts.stats, n, "sketch", "photo")["tab"].value_counts()
    app = sound(choose(open_page("geometry", run=judged.id), "geometry-section", "Domain shift"))
    (group,) = [found for found in app.button_group if found.key == "shift-tab"]
    assert group.options[1:] == [f"{tab} ({int(tabs.get(tab, 0)):,})" for tab in ("shared", "sketch only", "photo only", "dead")]
    for tab in ("shared", "sketch only", "photo only"):
        app = sound(choose(app, "shift-tab", tab))
        tables = [found.value for found in app.dataframe if "log2 ratio" in found.value]
        assert sum(map(len, tables)) == tabs.get(tab, 0)
    app = sound(choose(app, "shift-tab", "dead"))
    assert f"{int(tabs.get('dead', 0)):,} of {acts.m:,} latents fire on no image" in words(app)
