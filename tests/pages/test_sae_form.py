"""The dictionary's form: every architecture, only the controls it has, and no configuration that cannot work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import checked, cost, sae_form

OWN = {"k", "l0", "l1", "components", "groups", "width", "seed", "length", "batch", "lr"}
LEARNS = {"width", "seed", "length", "batch", "lr"}
SHOWN = {
    "topk": {"k", *LEARNS},
    "batch_topk": {"k", *LEARNS},
    "matryoshka": {"k", "groups", *LEARNS},
    "relu_l1": {"l1", *LEARNS},
    "gated": {"l0", *LEARNS},
    "jumprelu": {"l0", *LEARNS},
    "random": {"k", *LEARNS},
    "pca": {"components"},
    "kmeans": {"width", "seed"},
    "splice": {"k"},
}


def form(preset: str) -> None:
    import json

    import streamlit as st

    from pages._ui import train_form

    st.session_state.setdefault("train-preset", preset)
    st.text(json.dumps(train_form.controls()[0]))


def opened() -> AppTest:
    app = AppTest.from_function(form, kwargs={"preset": "demo"}, default_timeout=120).run()
    assert not app.exception
    return app


def raw(app: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.text[0].value)
    return found


def config(app: AppTest) -> sc.RunConfig:
    return sc.config.validate(sc.RunConfig, raw(app), "form")


def keys(app: AppTest) -> set[str]:
    """The dictionary's controls that are there, by the ends of their keys."""
    there = [*app.number_input, *app.selectbox, *app.text_input]
    return {str(one.key).removeprefix("train-demo-") for one in there if str(one.key).startswith("train-demo-")} & OWN


def test_every_architecture_of_the_core_has_a_name_and_a_word_on_it() -> None:
    assert set(sae_form.KINDS) == set(SHOWN)
    for kind in sae_form.KINDS:
        assert sc.config.validate(sc.config.SaeConfig, {"architecture": {"kind": kind}}, kind).architecture.kind == kind
    with pytest.raises(sc.InputError) as wrong:
        sc.config.validate(sc.config.SaeConfig, {"architecture": {"kind": "none"}}, "x")
    assert all(f"'{kind}'" in str(wrong.value) for kind in sae_form.KINDS), "and the core has no other"


@pytest.mark.parametrize("kind", sae_form.KINDS)
def test_an_architecture_shows_the_controls_it_has_and_makes_a_valid_configuration(kind: str) -> None:
    app = opened()
    app.selectbox(key="train-demo-kind").set_value(kind).run()
    assert not app.exception
    assert keys(app) == SHOWN[kind]
    made = config(app).sae
    assert made.architecture.kind == kind
    assert sae_form.level_of(made.architecture.model_dump()) == (32 if kind in ("relu_l1", "kmeans") else 16), (
        "as sparse as before"
    )


def test_a_budget_of_time_stands_in_place_of_steps() -> None:
    app = opened()
    app.selectbox(key="train-demo-length").set_value("seconds").run()
    app.number_input(key="train-demo-seconds").set_value(90.0).run()
    made = config(app).sae
    assert (made.seconds, made.steps, made.epochs) == (90.0, None, None)
    assert cost.length(made, rows=6400) == cost.Length(cost.length(made, None).batch // 2, None), (
        "steps are measured, not planned"
    )


@pytest.mark.parametrize(
    ("text", "says"), [("0.5, 0.4", "sum to 1"), ("0.5, half", "half"), ("", "sum to 1"), ("0.0001, 0.9999", "no latent")]
)
def test_groups_that_cannot_be_are_one_line(text: str, says: str) -> None:
    app = opened()
    app.selectbox(key="train-demo-kind").set_value("matryoshka").run()
    app.text_input(key="train-demo-groups").set_value(text).run()
    assert not app.exception
    with pytest.raises(sc.InputError, match=says) as wrong:
        config(app)
    assert "\n" not in str(wrong.value)


def test_groups_are_shares_and_their_sizes_are_said() -> None:
    app = opened()
    app.selectbox(key="train-demo-kind").set_value("matryoshka").run()
    app.text_input(key="train-demo-groups").set_value("0.25, 0.75").run()
    made = config(app).sae.architecture
    assert isinstance(made, sc.config.Matryoshka)
    assert made.groups == (0.25, 0.75)
    assert "256 + 768 latents" in [caption.value for caption in app.caption]


def arrays(encoder: str, **sae: Any) -> sc.RunConfig:
    data = {"sketch": {"source": "arrays", "path": "x", "encoder": encoder}}
    return sc.config.validate(sc.RunConfig, {"data": data, "sae": sae}, "test")


SPLICE = {"architecture": {"kind": "splice"}}


@pytest.mark.parametrize(
    ("encoder", "says"),
    [("dinov2/large", "no CLIP model"), ("ViT-B-32/nosuch", "no weights"), ("local-dir/mine", "a folder"), ("bundled/v1", None)],
)
def test_splice_says_why_a_clip_has_no_words(encoder: str, says: str | None, on_empty: object) -> None:
    found = checked.problem_of(arrays(encoder, **SPLICE))
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert says in found
        assert encoder in found
    assert checked.problem_of(arrays(encoder)) is None, "a dictionary needs none"


def test_controls_that_need_more_rows_than_there_are_say_so_before_they_start(on_empty: object) -> None:
    def drawn(**sae: Any) -> str | None:
        raw = {"data": {"sketch": {"source": "drawn", "n": 100}}, "sae": sae}
        return checked.problem_of(sc.config.validate(sc.RunConfig, raw, "test"))

    assert drawn(architecture={"kind": "kmeans"}, width=80) is None
    assert "80 training rows" in str(drawn(architecture={"kind": "kmeans"}, width=81))
    assert drawn(architecture={"kind": "pca", "components": 80}) is None
    assert "80 principal axes" in str(drawn(architecture={"kind": "pca", "components": 81}))


def test_latents_are_the_width_but_of_controls_that_have_their_own() -> None:
    def latents(**sae: Any) -> int | None:
        return cost.latents(sc.config.validate(sc.config.SaeConfig, sae, "test"))

    assert latents(width=640) == 640
    assert latents(width=640, architecture={"kind": "pca", "components": 7}) == 14
    assert latents(width=640, architecture={"kind": "splice"}) is None
