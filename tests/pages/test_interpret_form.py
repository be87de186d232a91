"""How naming is started: which latents, whose key, what it costs and sends, and that nothing leaves before that is agreed to."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import watch
from pages._ui.naming import keys, start
from tests.interpret.vision.asking import CANARY
from tests.interpret.vision.loopback import PRICED, Loopback
from tests.pages.conftest import words

Open = Callable[..., AppTest]
Launched = list[tuple[str, sc.RunConfig]]
UNPRICED = {**PRICED, "id": "test/priceless", "name": "Priceless", "pricing": {}}


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(models=[PRICED, UNPRICED]) as running:
        yield running


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """What was launched instead of being started."""
    started: Launched = []
    monkeypatch.setattr(watch, "launch", lambda command, config, rerun=True: started.append((command, config)))
    return started


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in keys.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def text_of(app: AppTest) -> str:
    assert not app.exception
    return words(app).replace("\\", "")


def by_vision(app: AppTest, server: Loopback, model: str = "test/seer") -> AppTest:
    """Fill the form in, down to the model."""
    (method,) = [one for one in app.button_group if one.key == "naming-method"]
    method.set_value("vision").run()
    app.selectbox(key="naming-latents").set_value("the strongest").run()
    app.number_input(key="naming-latents-most").set_value(3).run()
    app.selectbox(key="vision-endpoint").set_value("another endpoint").run()
    app.text_input(key="vision-address").set_value(server.url).run()
    app.button(key="vision-list").click().run()
    return next(box for box in app.selectbox if str(box.key).startswith("vision-model")).set_value(model).run()


def agree(app: AppTest) -> AppTest:
    return next(box for box in app.checkbox if str(box.key).startswith("vision-agree")).check().run()


# ---------------------------------------------------------------- price and consent


def test_nothing_is_asked_before_price_and_images_were_agreed_to(
    made: sc.pipeline.Run, open_page: Open, server: Loopback, launched: Launched
) -> None:
    app = by_vision(open_page("interpret"), server)
    assert "vision-start" not in [button.key for button in app.button]
    app.button(key="vision-estimate").click().run()
    assert server.calls == 0
    assert set(server.paths) == {"/api/v1/models"}
    settings = sc.config.VisionConfig(endpoint=server.url, model="test/seer")
    config = made.config.interpret.model_copy(update={"method": "vision", "vision": settings})
    plan = sc.plan_vision(config, start.material(made, config.seed), made.load("collect").strongest(3), None)
    text = text_of(app)
    for line in plan.lines()[1:]:
        assert line in text
    assert any(plan.leaves in box.label.replace("\\", "") for box in app.checkbox)
    assert app.button(key="vision-start").disabled
    agree(app)
    app.button(key="vision-start").click().run()
    ((command, config),) = launched
    assert command == "interpret"
    assert config.interpret.vision == settings
    assert config.interpret.latents == sc.config.Latents(strongest=3)
    assert (config.data, config.sae, config.clip) == (made.config.data, made.config.sae, made.config.clip)
    assert server.calls == 0


def test_another_setting_needs_another_estimate(open_page: Open, on_demo: Path, server: Loopback) -> None:
    app = by_vision(open_page("interpret"), server)
    app = agree(app.button(key="vision-estimate").click().run())
    assert not app.button(key="vision-start").disabled
    app.number_input(key="naming-latents-most").set_value(4).run()
    assert "vision-start" not in [button.key for button in app.button]


def test_an_unknown_price_must_be_accepted(open_page: Open, on_demo: Path, server: Loopback, launched: Launched) -> None:
    app = by_vision(open_page("interpret"), server, "test/priceless")
    next(box for box in app.checkbox if str(box.key).startswith("vision-unknown")).check().run()
    app.button(key="vision-estimate").click().run()
    assert "Price: unknown" in text_of(app)
    agree(app).button(key="vision-start").click().run()
    assert launched[0][1].interpret.vision.allow_unknown_price
    assert "allow_unknown_price=true" in text_of(app)


def test_a_page_that_would_name_on_the_way_is_refused_without_consent(made: sc.pipeline.Run, server: Loopback) -> None:
    settings = {"method": "vision", "vision": {"endpoint": server.url, "model": "test/seer"}}
    config = sc.config.validate(sc.RunConfig, {**made.config.model_dump(mode="json"), "interpret": settings}, "test")
    for command in ("run", "interpret", "steer", "visualize"):
        with pytest.raises(sc.InputError, match="start them on the Interpret page"):
            watch.launch(command, config, rerun=False)
    assert keys.for_new_job("train", config) is None
    assert keys.for_new_job("interpret", made.config) is None
    assert server.paths == []


# ---------------------------------------------------------------- keys


def test_a_key_leaves_its_field_for_the_memory_of_the_visit(open_page: Open, on_demo: Path, server: Loopback) -> None:
    app = by_vision(open_page("interpret"), server)
    app.text_input(key="vision-key").set_value(CANARY).run()
    assert "kept for this visit" in text_of(app)
    assert not [field for field in app.text_input if field.key == "vision-key"]
    app.button(key="vision-list").click().run()
    assert CANARY in server.headers[-1]["Authorization"]
    state = repr(app.session_state._state._state)
    assert "Secret(***)" in state
    assert CANARY not in state
    assert CANARY not in repr([getattr(element, "proto", element) for element in app])
    app.text_input(key="vision-address").set_value(server.url.replace("127.0.0.1", "localhost")).run()
    assert app.text_input(key="vision-key").value == "", "a key goes to the host it was typed for and to no other"
    app.text_input(key="vision-address").set_value(server.url).run()
    app.button(key="vision-key-forget").click().run()
    app.button(key="vision-list").click().run()
    assert "Authorization" not in server.headers[-1]


def test_a_bad_key_is_said_in_a_line_and_kept_nowhere(open_page: Open, on_demo: Path, server: Loopback) -> None:
    app = by_vision(open_page("interpret"), server)
    app.text_input(key="vision-key").set_value("two words").run()
    assert "has a space" in app.error[0].value
    assert app.text_input(key="vision-key").value == ""


def test_the_key_of_the_environment_is_its_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    router = sc.Endpoint.parse(keys.OPENROUTER)
    other = sc.Endpoint.parse("https://example.test/v1")
    monkeypatch.setenv("OPENROUTER_API_KEY", CANARY)
    found = keys.of(router)
    assert found is not None
    assert found.reveal() == CANARY
    assert keys.of(other) is None
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    assert keys.of(router) is None


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:1234/v1",
        "http://127.0.0.1/v1",
        "https://10.0.0.8/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "https://internal.test/v1",
        "https://openrouter.ai.evil.test/api/v1",
        "https://openrouter.ai:8443/api/v1",
    ],
)
def test_strangers_choose_no_address_for_this_server_to_call(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.allowed(address).url == address
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    with pytest.raises(sc.InputError, match="public"):
        keys.allowed(address)
    assert keys.allowed(keys.OPENROUTER).openrouter


def test_in_public_there_is_one_endpoint_and_ones_own_key(
    open_page: Open, on_demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    monkeypatch.setenv("SAE_LAB_VISION_KEY", CANARY)
    app = open_page("interpret")
    (method,) = [one for one in app.button_group if one.key == "naming-method"]
    method.set_value("vision").run()
    assert not app.error
    assert "vision-endpoint" not in [box.key for box in app.selectbox]
    assert "or from Streamlit's secrets" not in text_of(app)
    assert app.text_input(key="vision-key").proto.type == app.text_input(key="vision-key").proto.PASSWORD


def test_a_job_gets_the_key_by_its_environment_and_no_other_key(
    made: sc.pipeline.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[list[str], dict[str, str]]] = []

    class Process:
        def __init__(self, argv: list[str], env: dict[str, str], **_: Any) -> None:
            begun.append((argv, env))

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-owner-000000000000")
    monkeypatch.setenv("SAE_LAB_VISION_KEY", "sk-or-owner-111111111111")
    store = sc.Store(tmp_path / "cache")
    sc.jobs.start("interpret", made.config, store, key=sc.Secret(CANARY))
    sc.jobs.start("train", made.config, store)
    (argv, with_key), (_, without) = begun
    assert with_key["SAE_LAB_VISION_KEY"] == CANARY
    assert CANARY not in " ".join(argv)
    assert "sk-or-owner" not in repr(begun)
    assert not set(keys.VARIABLES) & set(without)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes()


# ---------------------------------------------------------------- which latents


def test_a_choice_of_latents_is_what_was_marked_listed_or_written(
    made: sc.pipeline.Run, open_page: Open, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")  # marks of this visit, so that the shared cache stays as it is
    app = open_page("interpret")
    choice = app.selectbox(key="naming-latents")

    def named() -> sc.config.Latents:
        app.button(key="make-interpret").click().run()
        assert not app.error
        return launched.pop()[1].interpret.latents

    choice.set_value("bookmarked").run()
    assert "no latent is bookmarked" in app.error[0].value.replace("\\", "")
    app.session_state[f"_marks-{made.id}"] = sc.Marks(frozenset((9, 4)))
    app.run()
    assert named() == sc.config.Latents(ids=(4, 9))
    app.selectbox(key="naming-latents").set_value("the gallery's list").run()
    assert "list is empty" in app.error[0].value.replace("\\", "")
    app.session_state["gallery-list"] = (7, 3)
    app.run()
    assert named() == sc.config.Latents(ids=(7, 3))
    app.selectbox(key="naming-latents").set_value("ids").run()
    for text, said in (("3, x", "no latent's number"), ("3, 4096", "there is no latent 4096"), ("", "no latent is given")):
        app.text_input(key="naming-latents-ids").set_value(text).run()
        assert said in app.error[0].value.replace("\\", "")
    app.text_input(key="naming-latents-ids").set_value("12 3,12").run()
    assert named() == sc.config.Latents(ids=(12, 3))
    app.selectbox(key="naming-latents").set_value("the strongest").run()
    app.number_input(key="naming-latents-most").set_value(5).run()
    assert named() == sc.config.Latents(strongest=5)


@pytest.mark.parametrize("latents", [{}, {"strongest": 4}, {"ids": [3, 12]}])
@pytest.mark.parametrize("method", ["clip", "vision"])
def test_the_command_line_means_the_same_as_the_form(
    made: sc.pipeline.Run, method: str, latents: dict[str, Any], on_demo: Path
) -> None:
    from sae_core.cli.making import _config
    from sae_core.cli.parser import build_parser

    more: dict[str, Any] = {"vocabulary": "classes"}
    if method == "vision":
        vision = {"endpoint": "https://example.test/v1", "model": "a/b: c", "cap": 2.5, "allow_unknown_price": True}
        more = {"vision": vision}
    base = made.config.interpret.model_dump(mode="json")
    wanted = sc.config.validate(sc.config.InterpretConfig, {**base, "method": method, "latents": latents, **more}, "test")
    words_of = shlex.split(start.command_line(made.id, wanted, on_demo))
    assert words_of[:3] == ["python", "-m", "sae_core"]
    assert _config(build_parser().parse_args(words_of[3:])).interpret == wanted


# ---------------------------------------------------------------- what a job says


def test_a_job_tells_what_it_spent_and_found() -> None:
    assert watch.naming_facts({"loss": 1.0}) == []
    assert watch.naming_facts({"cost_low": 0.1, "cost_high": 1.5}) == ["$0.10 to $1.50 expected"]
    facts = watch.naming_facts({"spent": 0.0123, "reserved": 0.002, "ok": 3.0, "failed": 1.0})
    assert facts == ["$0.0123 spent", "$0.0020 reserved for questions under way", "3 named", "1 failed"]


def test_a_job_of_a_vision_model_goes_on_with_a_key_of_this_visit_alone(
    made: sc.pipeline.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"method": "vision", "vision": {"model": "a/b"}}
    config = sc.config.validate(sc.RunConfig, {**made.config.model_dump(mode="json"), "interpret": settings}, "test")
    with pytest.raises(sc.InputError, match=r"no key for openrouter\.ai in this visit"):
        keys.for_old_job("interpret", config)
    monkeypatch.setitem(st.session_state, keys._KEPT, {"openrouter.ai": sc.Secret(CANARY)})
    found = keys.for_old_job("interpret", config)
    assert found is not None
    assert found.reveal() == CANARY
