"""The parts of the pages that compute something: words, cost, curves, the form, thumbnails."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import cost, curves, data_form, text, thumbs


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


def test_counts_and_sizes() -> None:
    assert [text.count(n, "image") for n in (0, 1, 4000)] == ["0 images", "1 image", "4,000 images"]
    assert [text.size(n) for n in (12, 4_120, 16_800_000)] == ["12 B", "4.12 kB", "16.8 MB"]


@settings(deadline=None)
@given(st.text())
def test_plain_text_keeps_every_word_and_leaves_no_markup(content: str) -> None:
    shown = text.plain(content)
    assert "\n" not in shown
    for mark in "*_`[]<$:~":
        assert shown.count("\\" + mark) == content.count(mark), "every mark is escaped"


@pytest.mark.parametrize("address", ["http://evil.test/x.png", "HTTPS://evil.test", "www.evil.test", "a@evil.test"])
def test_no_address_is_left_whole_for_markdown_to_link(address: str) -> None:
    shown = text.plain(f"see {address} now").replace("\\", "")
    assert address not in shown
    assert shown.replace("\u2060", "") == f"see {address} now"


def test_cost_in_closed_form() -> None:
    pace = cost.Pace(50_000.0, 1000 * 128)
    one = cost.estimate(1000, cost.Length(100, 122), rows=4_050, d=128, pace=pace)
    assert one.parameters == 1000 * 128 * 2 + 1000 + 128
    assert one.memory == 4 * (4 * one.parameters + 3 * 100 * 1000)
    assert one.seconds == pytest.approx(122 * 100 / 50_000)
    twice = cost.estimate(1000, cost.Length(100, 122), 4_050, 256, pace)
    assert twice.seconds == pytest.approx(2 * 122 * 100 / 50_000), "twice as many weights, twice the time"
    unknown = cost.estimate(1000, cost.Length(100, None), rows=None, d=None, pace=None)
    assert (unknown.parameters, unknown.memory, unknown.steps, unknown.seconds) == (None, None, None, None)


def test_the_length_is_the_configurations_where_it_says_so() -> None:
    assert cost.length(sc.config.SaeConfig(steps=70, batch_size=64), rows=100_000) == cost.Length(64, 70)
    assert cost.length(sc.config.SaeConfig(batch_size=64), rows=None) == cost.Length(64, None)


def test_events_are_read_once_and_whole_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert curves.read_from(file, 0) == ([], 0)
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    first, offset = curves.read_from(file, 0)
    assert [event["step"] for event in first] == [1, 2]
    with file.open("a") as handle:
        handle.write('p": 3}\nbroken\n{"step": 4}\n')
    second, offset = curves.read_from(file, offset)
    assert [event["step"] for event in second] == [3, 4]
    assert curves.read_from(file, offset) == ([], offset)


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 5000))
def test_thinned_curves_keep_both_ends(rows: int) -> None:
    frame = pd.DataFrame({"step": range(rows)})
    thinned = curves.thin(frame)
    assert len(thinned) <= curves.MOST_POINTS + 1
    if rows:
        assert thinned.step.iloc[0] == 0
        assert thinned.step.iloc[-1] == rows - 1
        assert thinned.step.is_monotonic_increasing
        assert not thinned.step.duplicated().any()


def form(preset: str) -> None:
    import json

    import streamlit as st

    from pages._ui import train_form

    st.session_state.setdefault("train-preset", preset)
    raw, command = train_form.controls()
    st.text(json.dumps(raw))
    st.caption(command)


@pytest.mark.parametrize("preset", sorted(data_form.presets()))
def test_an_untouched_form_is_the_preset_itself(preset: str) -> None:
    app = AppTest.from_function(form, kwargs={"preset": preset}, default_timeout=120).run()
    assert not app.exception
    config = sc.config.validate(sc.RunConfig, json.loads(app.text[0].value), "form")
    assert sc.config.science(config) == sc.config.science(sc.load_config(data_form.presets()[preset]))


def test_the_form_says_what_was_chosen() -> None:
    app = AppTest.from_function(form, kwargs={"preset": "demo"}, default_timeout=120).run()
    app.number_input(key="train-demo-width").set_value(256)
    app.number_input(key="train-demo-k").set_value(4)
    app.selectbox(key="train-demo-length").set_value("steps").run()
    app.number_input(key="train-demo-steps").set_value(70)
    app.number_input(key="train-demo-lr").set_value(0.002)
    app.toggle(key="train-demo-all").set_value(False).run()
    config = sc.config.validate(sc.RunConfig, json.loads(app.text[0].value), "form")
    assert (config.sae.width, config.sae.steps, config.sae.lr) == (256, 70, 0.002)
    assert config.sae.architecture == sc.config.TopK(k=4)
    assert app.caption[-1].value == "train"


def test_a_stranger_is_offered_no_path_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    assert "folders" not in data_form.presets()
    app = AppTest.from_function(form, kwargs={"preset": "demo"}, default_timeout=120).run()
    offered = app.get("button_group")[0].options
    assert "The drawn world" in offered
    assert "Folders of images" not in offered


@pytest.mark.parametrize(
    ("head", "mime"), [(b"\x89PNG\r\n", "png"), (b"RIFF0000WEBP", "webp"), (b"GIF89a", "gif"), (b"\xff\xd8", "jpeg")]
)
def test_an_images_type_is_read_from_its_bytes(head: bytes, mime: str) -> None:
    assert thumbs._mime(head) == f"image/{mime}"
