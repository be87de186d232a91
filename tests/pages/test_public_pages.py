"""Public mode on the pages: hostile addresses and uploads, errors without the inside, commands without the server's paths."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import sae_core as sc
from pages._ui import public, reproduce, session
from pages._ui.text import plain
from tests.pages.conftest import words

Open = Callable[..., AppTest]
PAGES = (*("overview", "train", "sweep", "zero_shot", "geometry", "gallery", "latent", "draw", "interpret", "steer", "publish"),)
PARAMS = ("run", "sweep", "member", "latent", "image", "list", "page", "sort", "recipe", "domain", "asked", "only", "text")
HOSTILE = (
    "../../../../etc/passwd",
    "%2e%2e%2fetc%2fpasswd",
    "/etc/passwd",
    "run-0123456789abcdef\0/../x",
    "'\"><script>alert(1)",
)
CANARY = "canary-91ab-of-the-owner"


@pytest.fixture(autouse=True)
def in_public(demo_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's cache as a public app shows it, with secrets of its owner's in the environment."""
    monkeypatch.setenv("SAE_LAB_PUBLIC", "1")
    monkeypatch.setenv("SAE_LAB_CACHE", str(demo_cache))
    monkeypatch.setenv("SAE_LAB_VISITORS", str(tmp_path / "visitors"))
    for name in ("SAE_LAB_VISION_KEY", "OPENROUTER_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, CANARY)


def everything(app: AppTest) -> str:
    """All that a page says, its warnings, buttons and fields included."""
    kinds = ("button", "text_input", "selectbox", "toast", "expander", "link_button", "download_button", "text")
    more = [f"{getattr(one, 'label', '')} {getattr(one, 'value', '')} {one.proto}" for kind in kinds for one in app.get(kind)]
    return "\n".join([words(app), *more])


def has_no_inside(text: str, *places: Path) -> None:
    for place in (*places, Path.home() if str(Path.home()) != "/" else Path("/root"), Path(public.__file__).parents[2]):
        assert str(place) not in text, place
    assert "Traceback" not in text
    assert CANARY not in text


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("name", PAGES)
def test_what_every_page_says_is_nothing_of_the_inside(name: str, open_page: Open, demo_cache: Path, tmp_path: Path) -> None:
    app = open_page(name)
    assert not app.exception
    has_no_inside(everything(app), demo_cache, tmp_path)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("turn", range(2))
def test_a_hostile_address_is_answered_like_an_unknown_one(
    name: str, turn: int, open_page: Open, demo_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every parameter has a hostile value; over the pages and turns each meets each kind."""
    first = 2 * PAGES.index(name) + turn
    query = {param: HOSTILE[(first + number) % len(HOSTILE)] for number, param in enumerate(PARAMS)}
    app = open_page(name, **query)
    assert not app.exception
    text = everything(app)
    assert "went wrong" not in text
    assert "root:x:" not in text
    has_no_inside(text, demo_cache, tmp_path)
    assert any("refused: a run in the address" in record.getMessage() for record in caplog.records)
    assert all(CANARY not in record.getMessage() and "\n" not in record.getMessage() for record in caplog.records)
    assert not (tmp_path / "visitors").exists(), "looking makes nothing"


def test_the_commands_of_a_page_name_no_folder_of_the_servers(demo_cache: Path) -> None:
    for cache in (demo_cache, Path("cache"), session.shown_cache()):
        shell, python = reproduce.commands("train", "run-0123456789abcdef", cache)
        assert "--cache cache" in shell
        assert "cache='cache'" in python
        has_no_inside(shell + python, demo_cache)


# ---------------------------------------------------------------- errors


def test_a_text_loses_the_servers_paths_and_nothing_else(demo_cache: Path, tmp_path: Path) -> None:
    own = sc.visitors.cache_of("somebody")
    for text, said in (
        (
            f"cannot read {demo_cache}/train/train-0123456789abcdef: broken",
            "cannot read cache/train/train-0123456789abcdef: broken",
        ),
        (f"no run in {own}; `ls` lists", "no run in cache; `ls` lists"),
        (f"in {demo_cache}", "in cache"),
        ("no file at /etc/ssl/private.pem; give one", "no file at …; give one"),
        ("Hub's uoft-cs/cifar10, 3/4 of it, and/or https://openrouter.ai/api/v1", None),
        ("ViT-B-32/openai on sketch/photo", None),
    ):
        assert public.scrub(text) == (text if said is None else said)


def test_of_a_message_about_a_path_a_stranger_sees_the_message(demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"cannot read {demo_cache}/said: no space"
    assert str(demo_cache) not in plain(message)
    monkeypatch.delenv("SAE_LAB_PUBLIC")
    assert demo_cache.name in plain(message)


def failing(secret: str) -> None:
    """A page whose body fails in an unforeseen way, with a secret in reach."""
    from pages._ui.page import page

    with page("Title", "Question?"):
        raise RuntimeError(f"/srv/inside/file.py holds {len(secret)} letters")


def test_an_unforeseen_error_shows_a_number_that_the_log_has(caplog: pytest.LogCaptureFixture, demo_cache: Path) -> None:
    before = sorted(demo_cache.rglob("*.log"))
    app = AppTest.from_function(failing, kwargs={"secret": CANARY}, default_timeout=60).run()
    assert not app.exception
    text = everything(app)
    assert "/srv/inside" not in text
    assert "RuntimeError" not in text
    number = re.findall(r"\(([0-9a-f]{8})\)", text.replace("\\", ""))
    assert number
    (record,) = [record for record in caplog.records if number[0] in record.getMessage()]
    assert record.exc_info is not None
    assert "/srv/inside" in str(record.exc_info[1]), "the owner finds what happened"
    assert CANARY not in caplog.text
    assert sorted(demo_cache.rglob("*.log")) == before, "nothing is written into the shared cache"


# ---------------------------------------------------------------- uploads


def png(width: int, height: int) -> bytes:
    """A PNG of zeros that claims this size: a few kB of it unfold to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")


def zipped_link() -> bytes:
    """A zip whose one member is a link to a file of the server's."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        info = zipfile.ZipInfo("class/picture.png")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    return out.getvalue()


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("owned-by-a-pickle",))


UPLOADS: dict[str, Callable[[], bytes]] = {
    "bomb.png": lambda: png(60_000, 60_000),
    "above the public limit.png": lambda: png(6000, 5000),
    "link.png": zipped_link,
    "pickle.png": lambda: pickle.dumps(Evil()),
    "script.png": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "document.png": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "empty.png": lambda: b"",
    "cut.png": lambda: png(64, 64)[:50],
}


@pytest.mark.parametrize("name", UPLOADS)
def test_a_hostile_picture_is_refused_in_one_line(
    name: str,
    open_page: Open,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    demo_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    app = open_page("gallery")
    app = app.file_uploader(key="gallery-upload").upload(name, UPLOADS[name](), "image/png").run()
    assert not app.exception
    assert len(app.error) == 1
    has_no_inside(everything(app), demo_cache)
    assert any("refused: a picture" in record.getMessage() for record in caplog.records)
    assert not (tmp_path / "owned-by-a-pickle").exists()


def test_a_picture_within_the_limits_is_read(open_page: Open) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 255, dtype=np.uint8)).save(out, "PNG")
    app = open_page("gallery")
    app = app.file_uploader(key="gallery-upload").upload("mine.png", out.getvalue(), "image/png").run()
    assert not app.error
    assert not app.exception


def test_the_bound_on_pixels_is_the_public_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sc.InputError, match="25 megapixels"):
        sc.open_image(png(6000, 5000), "it")
    monkeypatch.delenv("SAE_LAB_PUBLIC")
    with pytest.raises(sc.InputError, match="broken"):  # within the limit of one's own machine, and then found to be cut short
        sc.open_image(png(6000, 5000), "it")


# ---------------------------------------------------------------- whose visit it is


def whose() -> None:
    """A page that says whose visit it is, and keeps a key, a note and a label."""
    import streamlit as st

    import sae_core as sc
    from pages._ui import latents, public, session
    from pages._ui.naming import keys, said

    run = session.all_runs()[0].id
    st.text(public.visitor())
    st.text(str(session.own_store().root.name))
    router = sc.Endpoint.parse(keys.OPENROUTER)
    if st.toggle("mine"):
        keys._kept()[router.host] = sc.Secret("visitors-own-key")
        latents.mark(run, 1, bookmarked=True, note="visitors-own-note")
        said.set_label(run, 1, "visitors-own-label", "me")
    key = keys.of(router)
    st.text("" if key is None else key.reveal())
    st.text(repr(latents.marks(run)) + repr(said.labels(run)))


def test_keys_notes_and_labels_of_one_visitor_are_nobody_elses(demo_cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo_cache.rglob("*") if path.is_file()}
    one, two = (AppTest.from_function(whose, default_timeout=60).run() for _ in range(2))
    one.toggle[0].set_value(True).run()
    two.run()
    assert one.text[0].value != two.text[0].value
    assert one.text[1].value != two.text[1].value
    assert one.text[2].value == "visitors-own-key"
    assert {"visitors-own-note", "visitors-own-label"} <= set(re.findall(r"visitors-own-\w+", one.text[3].value))
    assert two.text[2].value == "", "neither another visitor's key nor the owner's"
    assert "visitors-own" not in two.text[3].value
    kept = sc.visitors.visitors_folder()
    assert not [path for path in kept.rglob("*") if path.is_file() and b"visitors-own" in path.read_bytes()]
    assert {path: path.stat().st_mtime_ns for path in demo_cache.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("cookie", ["", "short", "../" * 20, "a" * 65, "a" * 31 + "\n", "a" * 20 + "/" + "a" * 20])
def test_a_forged_cookie_is_nobodys(cookie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        cookies = {public.COOKIE: cookie}  # noqa: RUF012

    monkeypatch.setattr(public.st, "context", Context())
    monkeypatch.setattr(public.st, "session_state", {})
    token = public.visitor()
    assert token != cookie
    assert public.visitor() == token, "for the whole visit"


def test_a_browsers_cookie_is_its_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        cookies = {public.COOKIE: "a" * 32}  # noqa: RUF012

    monkeypatch.setattr(public.st, "context", Context())
    monkeypatch.setattr(public.st, "session_state", {})
    assert public.visitor() == "a" * 32
    assert public.own_cache() == sc.visitors.cache_of("a" * 32)


def test_the_limits_stand_on_the_form_and_above_them_there_is_no_start(open_page: Open) -> None:
    app = open_page("train")
    assert "at most 8,000 images, 4,096 latents, 2,000 steps" in words(app)
    app.selectbox(key="train-demo-length").set_value("steps").run()
    app.number_input(key="train-demo-steps").set_value(5000).run()
    assert "above this public app's limit" in "".join(error.value for error in app.error).replace("\\", "")
    assert app.button(key="train-start").disabled
    assert app.selectbox(key="train-demo-clip").options == ["bundled demo model (a stand-in, no download)"]
    assert sc.config.public.LIMITS.words() in words(app)
