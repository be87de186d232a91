"""The draw page: what is laid on the paper, what is refused and how, what is read, what is said."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui.drawing import canvas, reading, result, source
from pages._ui.drawing.canvas import Drawing
from pages._ui.drawing.source import Base
from tests.pages.conftest import words

Open = Callable[..., AppTest]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@pytest.fixture(scope="module")
def opened(demo_cache: Path) -> sc.pipeline.Run:
    store = sc.Store(demo_cache)
    (run,) = sc.pipeline.runs(store)
    return run.open(store)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A visit's memory, without a browser."""
    memory: dict[str, object] = {}
    for module in (canvas, reading, source):
        monkeypatch.setattr(module.st, "session_state", memory)
    return memory


PAPER = Image.new("RGB", (256, 256), "white")
GOOD = {"seq": 3, "png": uri(encoded(PAPER)), "strokes": 2, "base": None, "seen": "a1"}


def test_a_drawing_is_taken_as_the_browser_sends_it() -> None:
    assert canvas.parsed(GOOD) == Drawing(3, encoded(PAPER), 2, None, "a1")


@pytest.mark.parametrize(
    "changed",
    [
        {"png": "data:text/html;base64,AAAA"},
        {"png": "data:image/png;base64,%%%"},
        {"png": uri(encoded(Image.new("L", (257, 256))))},
        {"png": uri(encoded(Image.new("L", (6000, 6000))))},
        {"png": "data:image/png;base64," + "A" * canvas.LARGEST},
        {"png": None},
        {"seq": "many"},
        {"strokes": None},
    ],
)
def test_what_is_no_drawing_of_the_paper_is_refused_in_one_line(changed: dict[str, object]) -> None:
    with pytest.raises(sc.InputError, match="did not arrive whole"):
        canvas.parsed(GOOD | changed)
    with pytest.raises(sc.InputError):
        canvas.parsed({name: value for name, value in GOOD.items() if name not in changed})


def test_the_paper_is_read_and_blank_paper_is_not(opened: sc.pipeline.Run, session: dict[str, object]) -> None:
    assert reading.on_paper(opened, None, None) is None
    assert reading.on_paper(opened, None, canvas.parsed(GOOD)) is None, "nothing but erased strokes"
    drawn = PAPER.copy()
    drawn.paste("black", (40, 40, 60, 200))
    sheet = reading.on_paper(opened, None, canvas.parsed(GOOD | {"png": uri(encoded(drawn))}))
    assert sheet is not None
    assert np.array_equal(np.asarray(sheet.image), np.asarray(drawn))


def test_a_picture_is_read_itself_until_something_is_drawn_on_it(opened: sc.pipeline.Run, session: dict[str, object]) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8))
    base = Base("b7", photo, "a photo")
    paper = uri(encoded(PAPER))
    untouched = {"png": paper, "strokes": 0, "base": "b7", "seen": "b7"}
    for drawing in (None, canvas.parsed(GOOD), canvas.parsed(GOOD | untouched)):
        sheet = reading.on_paper(opened, base, drawing)
        assert sheet is not None
        assert sheet.image is photo
    drawn = PAPER.copy()
    drawn.paste("black", (40, 40, 60, 200))
    for change in ({"strokes": 1}, {"base": None}):  # drawn on; undone, with the older drawing below
        sheet = reading.on_paper(opened, base, canvas.parsed(GOOD | untouched | {"png": uri(encoded(drawn))} | change))
        assert sheet is not None
        assert sheet.image.size == (256, 256)


def test_an_image_of_the_data_is_read_as_the_run_read_it(opened: sc.pipeline.Run, session: dict[str, object]) -> None:
    acts = opened.outcomes["collect"].load()
    manifest = opened.outcomes["manifest:photo"].load()
    rows = acts.images
    row = int(rows.loc[(rows["domain"] == "photo") & (rows["image"] == 5), "row"].iloc[0])
    seen = reading.read(opened, reading.Sheet("k", manifest.image(5), b""))
    ids, values = acts.row(row)
    assert seen.latents.tolist() == ids.tolist()
    np.testing.assert_allclose(seen.values, values, rtol=1e-3, atol=1e-4)


def test_the_paper_shows_what_the_model_sees(opened: sc.pipeline.Run) -> None:
    encoder = sc.load_encoder("bundled")
    exact = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    shown = source.as_seen(encoder, exact)
    assert np.abs(np.asarray(shown, int) - np.asarray(exact, int)).max() <= 1
    assert source.as_seen(encoder, Image.new("RGB", (300, 100), "red")).size == (64, 64)


def test_readings_are_kept_for_a_while_and_no_longer(opened: sc.pipeline.Run, session: dict[str, object]) -> None:
    grey = [Image.new("RGB", (64, 64), (shade, shade, shade)) for shade in range(0, 120, 10)]
    first = reading.read(opened, reading.Sheet("0", grey[0], b""))
    assert reading.read(opened, reading.Sheet("0", grey[5], b"")) is first, "its key says what it is"
    for at, image in enumerate(grey):
        reading.read(opened, reading.Sheet(str(at), image, b""))
    assert [key for _, key in session["_draw_read"]] == [str(at) for at in range(12 - reading.KEPT, 12)]


def test_the_distance_from_the_data_is_said(opened: sc.pipeline.Run, session: dict[str, object]) -> None:
    manifest = opened.outcomes["manifest:sketch"].load()
    near = reading.read(opened, reading.Sheet("near", manifest.image(1), b""))
    assert "of the images of sketch and photo are explained no better" in result.how_far(opened, near)
    far = result.how_far(opened, replace(near, percentile=0.004, explained=0.31))
    assert far.startswith("Far from what the dictionary was trained on")
    assert "explain 31 %" in far
    assert "more than 99 % of the training images are explained better" in far


# ---------------------------------------------------------------- uploads, through the page


def truncated() -> bytes:
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)))
    return whole[: len(whole) // 2]


def bomb() -> bytes:
    return encoded(Image.new("1", (10_010, 10_000), 1))


BAD = {
    "truncated.png": (truncated, "is broken"),
    "bomb.png": (bomb, "above the limit of 100 megapixels"),
    "drawing.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing, which is not read"),
    "notes.png": (lambda: b"these are only words\n", "is text, not a picture"),
    "empty.png": (lambda: b"", "is empty"),
}


def colours(size: tuple[int, int]) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image


def animated() -> bytes:
    frames = [Image.new("RGB", (32, 32), "lime"), Image.new("RGB", (32, 32), "black")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray(np.full((20, 20), 32_896, dtype=np.uint16)))


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left goes up
    return encoded(colours((60, 30)), "JPEG", exif=exif, quality=95)


GOOD_ONES = {
    "animated.gif": (animated, (32, 32), {(5, 5): (0, 255, 0)}),
    "cmyk.jpg": (lambda: encoded(colours((64, 64)).convert("CMYK"), "JPEG", quality=95), (64, 64), {(5, 5): (255, 0, 0)}),
    "sixteen.png": (sixteen_bits, (20, 20), {(5, 5): (128, 128, 128)}),
    "rotated.jpg": (rotated, (30, 60), {(15, 5): (255, 0, 0), (15, 55): (0, 0, 255)}),
    "dot.png": (lambda: encoded(Image.new("RGB", (1, 1), "navy")), (1, 1), {(0, 0): (0, 0, 128)}),
}


def start_from(open_page: Open) -> AppTest:
    app = open_page("draw")
    app.session_state["draw-start"] = True
    return app.run()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_gets_a_plain_line_and_the_app_goes_on(name: str, on_demo: Path, open_page: Open) -> None:
    make, said = BAD[name]
    app = start_from(open_page)
    app.file_uploader[0].upload(name, make(), "image/png").run()
    assert [said in error.value for error in app.error] == [True], words(app)
    assert "Traceback" not in words(app)
    app.file_uploader[0].set_value(None).run()
    app.file_uploader[0].upload("fine.png", encoded(colours((40, 40))), "image/png").run()
    assert not app.error
    assert "Laid on the paper as CLIP sees it: fine" in words(app)


@pytest.mark.parametrize("name", GOOD_ONES)
def test_an_odd_upload_becomes_the_right_picture(name: str, on_demo: Path, open_page: Open) -> None:
    make, size, pixels = GOOD_ONES[name]
    app = start_from(open_page)
    app.file_uploader[0].upload(name, make(), "image/png").run()
    assert not app.error, words(app)
    image = app.session_state["_draw_base"].image
    assert image.size == size
    for at, colour in pixels.items():
        assert np.abs(np.subtract(image.getpixel(at), colour)).max() <= 12, f"{at} is {image.getpixel(at)}"
    assert "Keep this as A" in [button.label for button in app.button if not button.disabled]


# ---------------------------------------------------------------- the page


def test_the_page_says_where_the_drawing_goes(on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Nothing you draw leaves this machine" in words(open_page("draw"))
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    public = words(open_page("draw"))
    assert "leaves this machine" not in public
    assert "neither stored nor passed on" in public


def test_reading_a_picture_writes_no_file(on_demo: Path, open_page: Open) -> None:
    before = {path: path.stat().st_mtime_ns for path in on_demo.rglob("*") if path.is_file()}
    app = start_from(open_page)
    app.file_uploader[0].upload("private.png", encoded(colours((40, 40))), "image/png").run()
    assert "private" in words(app)
    assert {path: path.stat().st_mtime_ns for path in on_demo.rglob("*") if path.is_file()} == before


def test_keeping_a_and_letting_it_go(on_demo: Path, open_page: Open) -> None:
    app = start_from(open_page)
    assert app.button(key="draw-keep").disabled
    app.file_uploader[0].upload("a.png", encoded(colours((40, 40))), "image/png").run()
    app.button(key="draw-keep").click().run()
    assert not app.exception
    kept = app.session_state["_draw_kept"]
    assert kept.image.size == (40, 40)
    app.button(key="draw-forget").click().run()
    assert app.session_state["_draw_kept"] is None


def test_a_run_whose_clip_cannot_be_had_says_so(on_demo: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object) -> None:
        raise sc.Unavailable("the weights of ViT-B-32/openai are not here")

    monkeypatch.setattr(reading, "reader", gone)
    said = words(open_page("draw"))
    assert "This run reads no drawings" in said
    assert "are not here" in said.replace("\\", "")


def test_what_changed_is_in_units_of_the_maximum(
    opened: sc.pipeline.Run, session: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "media_url", lambda image, where: where)
    manifest = opened.outcomes["manifest:sketch"].load()
    a, b = (reading.read(opened, reading.Sheet(str(at), manifest.image(at), b"")) for at in (1, 2))
    section, labels = result.changed(opened, a, b, (("A", b"a"), ("B", b"b")))
    maxima = opened.outcomes["collect"].load().stats["max"]
    at = {int(j): float(v) for j, v in zip(b.latents, b.values, strict=True)}
    before = {int(j): float(v) for j, v in zip(a.latents, a.values, strict=True)}
    for row in section.rows:
        assert row.id is not None
        first, second = (bar.length * maxima[row.id] for bar in row.bars)
        assert first == pytest.approx(before.get(row.id, 0.0), rel=1e-4, abs=1e-6)
        assert second == pytest.approx(at.get(row.id, 0.0), rel=1e-4, abs=1e-6)
    sizes = [abs(row.bars[1].length - row.bars[0].length) for row in section.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(labels) == 2
