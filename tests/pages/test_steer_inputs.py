"""The steer page's pictures: of the data by link, uploaded, drawn; embedded in memory and steered like any other."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.drawing import canvas
from pages._ui.drawing.canvas import Drawing
from pages._ui.steer import opened
from tests.pages.conftest import words

Open = Callable[..., AppTest]


def png(side: int = 256) -> bytes:
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).ellipse((side // 5, side // 5, 4 * side // 5, 4 * side // 5), outline="black", width=side // 40)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def made(on_demo: Path) -> sc.pipeline.Run:
    store = sc.Store(on_demo)
    return sc.pipeline.runs(store)[0].open(store)


def source(app: AppTest, name: str) -> AppTest:
    (group,) = [one for one in app.button_group if one.key == "steer-source"]
    return group.set_value(name).run()


def test_an_upload_is_embedded_and_steered(made: sc.pipeline.Run, open_page: Open) -> None:
    app = source(open_page("steer"), "Upload")
    assert "Upload a picture: it is embedded" in words(app)
    app = app.file_uploader(key="steer-file").upload("circle.png", png(), "image/png").run()
    assert not app.error
    text = words(app).replace("\\", "")
    assert "open_image('circle.png')" in text, "the Python that does the same names the file"
    assert "turned up is the best of" in text
    (recipe,) = [
        sc.read_recipe(code.value.split("read_recipe('")[1].split("'")[0]) for code in app.code if "read_recipe" in code.value
    ]
    assert recipe.image == hashlib.sha256(png()).hexdigest()
    clip = sc.load_encoder(made.config.clip.model, made.config.clip.pretrained)
    x = clip.images([sc.open_image(png())])[0]
    scene = opened.scene(made)
    domain = scene.activations.domains[0]
    subject = sc.stranger(x, domain, "circle.png", clip.logit_scale)
    done = opened.steered(made, subject, recipe)
    assert done.result["reason"] in text


def test_an_upload_that_is_no_picture_is_one_line(made: sc.pipeline.Run, open_page: Open) -> None:
    app = source(open_page("steer"), "Upload")
    app = app.file_uploader(key="steer-file").upload("notes.png", b"only words", "image/png").run()
    assert [error.value.replace("\\", "") for error in app.error] == [
        "notes.png is text, not a picture; give a PNG, JPEG, WebP, BMP, GIF or TIFF picture"
    ]
    app = source(app, "Data set")
    assert not app.error
    assert app.slider


def test_a_drawing_is_steered_and_keeps_its_sliders_from_stroke_to_stroke(
    made: sc.pipeline.Run, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = source(open_page("steer"), "Canvas")
    assert "Draw something" in words(app)
    monkeypatch.setattr(canvas, "sent", lambda: Drawing(1, png(), 1, None, None))
    app = app.run()
    assert not app.error
    assert len(app.slider) > 1
    moved = app.slider[0]
    app = moved.set_value(3.0).run()
    monkeypatch.setattr(canvas, "sent", lambda: Drawing(2, png(255)[:0] or png(), 2, None, None))
    app = app.run()
    assert app.slider(key=moved.key).value == 3.0


def test_the_result_of_a_stranger_is_that_of_the_same_image_of_the_data(made: sc.pipeline.Run) -> None:
    scene = opened.scene(made)
    inside = scene.subject(5)
    outside = sc.stranger(inside.x, str(inside.about["domain"]), "copy.png", inside.logit_scale)
    latent = int(made.load("collect").alive()[0])
    recipe = opened.recipe(made, None, [sc.Edit(latent=latent, value=2.0)])
    a, b = (opened.steered(made, subject, recipe) for subject in (inside, outside))
    assert a.result["reason"] == b.result["reason"]
    assert a.result["labels"] == b.result["labels"]
    assert b.result["image"] is None
    first = b.neighbours[b.neighbours["side"] == "before"].iloc[0]
    assert first["row"] == 5, "the copy's nearest image is the original, which is no neighbour of itself"
    assert 5 not in a.neighbours.loc[a.neighbours["side"] == "before", "row"].to_numpy()
    ids, values = scene.code(outside)
    own_ids, own_values = scene.code(inside)
    np.testing.assert_array_equal(np.sort(ids), np.sort(own_ids))
    np.testing.assert_allclose(values, own_values, rtol=1e-3, atol=1e-4)


def test_a_link_opens_its_image(made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer", domain="photo", image="7")
    assert not app.error
    assert "steer.domain=photo --set steer.image=7" in words(app)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"domain": "nowhere"}, "domain nowhere; this run has sketch, photo"),
        ({"domain": "photo", "image": "99999"}, "image 99999 of photo; it has images 0 to"),
        ({"image": "seven"}, "image seven of sketch"),
        ({"latent": "99999"}, "latent 99999, which fires on no image of this run"),
    ],
)
def test_a_link_to_nothing_says_so_and_goes_on(query: dict[str, str], said: str, made: sc.pipeline.Run, open_page: Open) -> None:
    app = open_page("steer", **query)
    assert not app.exception
    assert said in words(app).replace("\\", "")
    assert app.slider
