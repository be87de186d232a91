"""The Publish page: a checklist that is true, destinations that do what they say, a token that nothing shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import sae_core as sc
from tests.pages.conftest import words
from tests.publish.hub_client import taken_for_the_hub
from tests.publish.loopback_hub import READ_TOKEN, TOKEN, LoopbackHub, status

Open = Callable[..., AppTest]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A loopback Hub, and no token in the environment."""
    with taken_for_the_hub(monkeypatch, tmp_path, None) as server:
        yield server


def to(app: AppTest, place: str) -> AppTest:
    (group,) = [one for one in app.button_group if one.key == "place"]
    app = group.set_value(place).run()
    assert not app.exception
    return app


def test_the_checklist_says_what_is_open(on_demo: Path, open_page: Open) -> None:
    app = open_page("publish")
    assert not app.exception
    said = words(app)
    for line in (
        "**Metrics** (good)",
        "**Names** (good)",
        "**Licence of the dictionary** (open)",
        "**Split** (good)",
        "**Secrets** (good)",
    ):
        assert line in said
    app.selectbox("licence").set_value("cc-by-4.0").run()
    said = words(app)
    assert "**Licence of the dictionary** (good)" in said
    assert "license: cc-by-4.0" in said, "the card preview follows"


def test_a_secret_in_the_files_stops_every_destination(
    on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch, hub: LoopbackHub
) -> None:
    st.cache_data.clear()  # another test's app has packed the same run, before there was a secret
    monkeypatch.setenv("LAB_SECRET", "near_miss_auroc")  # stands in the table of names
    app = open_page("publish")
    assert not app.exception
    said = words(app)
    assert "**Secrets and files** (to be mended)" in said
    assert "LAB" in said
    assert not app.get("download_button")
    app = to(app, "Hub")
    app.text_input("hub-repo").set_value("me/x").run()
    app.text_input("hub-token").set_value(TOKEN).run()
    assert app.button("hub-go").disabled
    assert hub.requests == []


def test_publishing_on_the_hub_with_a_typed_token(on_demo: Path, open_page: Open, hub: LoopbackHub) -> None:
    app = to(open_page("publish"), "Hub")
    assert app.button("hub-go").disabled, "there is no token yet"
    app.text_input("hub-repo").set_value("me/x").run()
    app.text_input("hub-token").set_value(TOKEN).run()
    assert TOKEN not in repr([element.value for element in app.text_input])
    app.button("hub-go").click().run()
    assert not app.exception
    assert "holds this run (private)" in app.success[0].value
    assert hub.repos["me/x"].private
    assert TOKEN not in words(app)
    app.button("hub-go").click().run()
    assert "nothing had changed" in app.success[0].value
    assert len(hub.repos["me/x"].messages) == 2


def test_trouble_is_said_and_the_same_button_goes_on(on_demo: Path, open_page: Open, hub: LoopbackHub) -> None:
    app = to(open_page("publish"), "Hub")
    app.text_input("hub-repo").set_value("me/x").run()
    app.text_input("hub-token").set_value(READ_TOKEN).run()
    app.button("hub-go").click().run()
    assert "can only read" in app.error[0].value
    app.button("hub-token-forget").click().run()
    app.text_input("hub-token").set_value(TOKEN).run()
    hub.script("commit", status(413))
    app.button("hub-go").click().run()
    assert "too large" in app.error[0].value
    app.button("hub-go").click().run()
    assert not app.error
    assert "holds this run" in app.success[0].value


def test_a_stranger_never_uses_the_servers_token(
    on_demo: Path, open_page: Open, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    app = to(open_page("publish"), "Hub")
    app.text_input("hub-repo").set_value("me/x").run()
    assert app.button("hub-go").disabled
    assert hub.requests == []
    for place in ("Download", "Hub", "Static site", "Space"):
        assert str(on_demo) not in words(to(app, place))


def test_the_site_is_made_when_asked_for(on_demo: Path, open_page: Open) -> None:
    app = to(open_page("publish"), "Static site")
    assert not app.get("download_button")
    app.button("make-site").click().run(timeout=300)
    assert not app.exception
    assert not app.error
    assert app.get("download_button")


def test_a_space_is_pushed_with_a_typed_token(on_demo: Path, open_page: Open, hub: LoopbackHub) -> None:
    app = to(open_page("publish"), "Space")
    assert sc.PLAN_NOTE.split(".")[0] in words(app)
    app.text_input("space-repo").set_value("me/latents").run()
    assert app.button("space-go").disabled, "there is no token yet"
    app.text_input("hub-token").set_value(TOKEN).run()
    app.button("space-go").click().run(timeout=300)
    assert not app.exception
    assert "holds this run" in app.success[0].value
    repo = hub.repos["me/latents"]
    assert (repo.type, repo.private) == ("space", True)
    assert "site.json" in repo.files
    assert TOKEN not in words(app)
    assert "publish space OWNER/NAME --static --config" in words(app)
    app.radio("space-kind").set_value("App").run()
    assert "publish space OWNER/NAME --config" in words(app)
    assert "OWNER/NAME --static" not in words(app), "the command is the chosen kind's; the note above names the free one"
