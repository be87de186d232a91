"""What lies around a call: addresses, keys, pictures, price lists, the cache of replies, and the settings."""

from __future__ import annotations

import copy
import io
import pickle
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sae_core.config import InterpretConfig, VisionConfig, science, validate
from sae_core.errors import DamagedArtifact, InputError, Unavailable
from sae_core.interpret.vision.budget import FREE, Price
from sae_core.interpret.vision.calls import CallCache, call_key
from sae_core.interpret.vision.endpoint import OPENROUTER, Endpoint
from sae_core.interpret.vision.messages import Answer
from sae_core.interpret.vision.pictures import MAX_SIDE, prepared
from sae_core.interpret.vision.prices import models, price_of
from sae_core.interpret.vision.secrets import Secret, key_for, redact
from tests.interpret.vision.asking import CANARY, MODEL, question
from tests.interpret.vision.loopback import PRICED, Loopback

# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "host", "loopback", "openrouter"),
    [
        (OPENROUTER, "openrouter.ai", False, True),
        ("https://openrouter.ai/api/v1/", "openrouter.ai", False, True),
        ("https://eu.openrouter.ai/api/v1", "eu.openrouter.ai", False, True),
        ("https://notopenrouter.ai/v1", "notopenrouter.ai", False, False),
        ("https://openrouter.ai.example.com/v1", "openrouter.ai.example.com", False, False),
        ("http://localhost:11434/v1", "localhost:11434", True, False),
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000", True, False),
        ("http://[::1]:8000/v1", "[::1]:8000", True, False),
    ],
)
def test_an_address_is_known_by_its_host(url: str, host: str, loopback: bool, openrouter: bool) -> None:
    assert Endpoint.parse(url) == Endpoint(url.rstrip("/"), host, loopback, openrouter)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/v1", "unencrypted; use https"),
        ("http://192.168.1.5/v1", "unencrypted; use https"),
        ("http://localhost.example.com/v1", "unencrypted; use https"),
        ("ftp://example.com", "no web address"),
        ("example.com/v1", "no web address"),
        ("https:///v1", "no web address"),
        ("", "no web address"),
        (f"https://user:{CANARY}@example.com/v1", "no user, key or query"),
        (f"https://example.com/v1?key={CANARY}", "no user, key or query"),
        ("https://example.com/a b", "odd characters"),
        ("https://example.com:port/v1", "endpoint: "),
        ("https://exämple.com/v1", "odd characters"),
    ],
)
def test_a_bad_address_is_one_line_without_the_key(url: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Endpoint.parse(url)
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)


# ---------------------------------------------------------------- keys


def test_a_key_shows_nowhere_and_cannot_be_written_down() -> None:
    key = Secret(CANARY)
    assert {repr(key), str(key), f"{key}", f"{key!r}", "%s" % key, repr([key])} == {"Secret(***)", "[Secret(***)]"}  # noqa: UP031
    assert not hasattr(key, "__dict__")
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not written down"):
            write(key)
    assert key.reveal() == CANARY


@pytest.mark.parametrize("value", ["", "sk or", "sk\nor", "sk-or\r", " sk", "sk–or", "sk\x00"])
def test_a_key_no_header_can_hold_is_one_line_that_does_not_show_it(value: str) -> None:
    with pytest.raises(InputError, match="the API key") as caught:
        Secret(value)
    assert not value or value not in str(caught.value)


def test_each_endpoint_gets_its_own_key() -> None:
    both = {"OPENROUTER_API_KEY": "sk-or-v1-a", "SAE_LAB_VISION_KEY": "own"}
    router, local = Endpoint.parse(OPENROUTER), Endpoint.parse("https://example.com/v1")

    def found(endpoint: Endpoint, environment: dict[str, str]) -> str | None:
        key = key_for(endpoint, environment)
        return key and key.reveal()

    assert found(router, both) == "own"
    assert found(router, {"OPENROUTER_API_KEY": "sk-or-v1-a\n"}) == "sk-or-v1-a"
    assert found(local, {"OPENROUTER_API_KEY": "sk-or-v1-a"}) is None
    assert found(router, {"OPENROUTER_API_KEY": " ", "OPENAI_API_KEY": "sk-x"}) is None


def test_redaction_takes_every_form_of_a_key_and_leaves_one_line() -> None:
    odd = Secret('a"b/c&d-not-sk-like')
    text = (
        'said a"b/c&d-not-sk-like and a\\"b/c&d-not-sk-like,\n a%22b%2Fc%26d-not-sk-like; sk-or-v1-0123456789 ask-for-more-tasks'
    )
    removed = "[key removed]"
    assert redact(text, odd) == f"said {removed} and {removed}, {removed}; {removed} ask-for-more-tasks"
    assert len(redact("word " * 1000)) == 300
    assert CANARY[:12] not in redact("x" * 290 + CANARY, Secret(CANARY))


# ---------------------------------------------------------------- pictures


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def test_a_picture_is_sent_small_on_white_and_bare() -> None:
    ink = Image.new("RGBA", (1000, 500), (0, 0, 0, 0))
    about = PngImagePlugin.PngInfo()
    about.add_text("Author", "somebody")
    buffer = io.BytesIO()
    ink.save(buffer, "PNG", pnginfo=about, dpi=(300, 300), exif=b"Exif\x00\x00MM\x00*")
    png = prepared(Image.open(buffer))
    picture = opened(png)
    assert (picture.mode, picture.size, picture.info, picture.format) == ("RGB", (MAX_SIDE, MAX_SIDE // 2), {}, "PNG")
    assert np.asarray(picture).min() == 255
    assert b"somebody" not in png


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "I;16", "RGBA"])
def test_every_mode_becomes_rgb_and_small_pictures_keep_their_pixels(mode: str) -> None:
    picture = Image.new(mode, (20, 1))
    found = opened(prepared(picture))
    assert (found.mode, found.size) == ("RGB", (20, 1))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(opened(prepared(Image.fromarray(pixels)))), pixels)
    assert prepared(Image.fromarray(pixels)) == prepared(Image.fromarray(pixels.copy()))


# ---------------------------------------------------------------- price lists


def test_models_that_see_are_listed_with_their_prices() -> None:
    rows = [
        PRICED,
        {**PRICED, "id": "a/blind", "architecture": {"input_modalities": ["text"]}},
        {**PRICED, "id": "a/auto", "name": "Auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {**PRICED, "id": "a/free", "name": "Free", "pricing": {"prompt": "0", "completion": "0"}, "supported_parameters": None},
        {**PRICED, "id": "a/images", "name": "Images", "pricing": {**PRICED["pricing"], "image": "0.0048", "request": "0.01"}},
        {"id": 5},
        "nothing",
        {**PRICED, "id": "a/odd", "name": "<b>\n", "context_length": True, "pricing": {"prompt": "x", "completion": None}},
    ]
    with Loopback(models=rows) as server:
        endpoint = Endpoint.parse(server.url)
        found = {model.id: model for model in models(endpoint, Secret(CANARY))}
        assert server.paths == ["/api/v1/models"]
        assert price_of(MODEL, endpoint, None) == Price(1e-6, 4e-6)
        with pytest.raises(Unavailable, match="lists no model 'a/blind' that takes pictures; choose one of its 5"):
            price_of("a/blind", endpoint, None)
    assert list(found) == ["a/odd", "a/auto", "a/free", "a/images", MODEL]
    assert found["a/auto"].price is found["a/odd"].price is None
    assert found["a/free"].price == FREE
    assert found["a/images"].price == Price(1e-6, 4e-6, 0.0048, 0.01)
    assert (found[MODEL].structured, found["a/free"].structured) == (True, False)
    assert (found["a/odd"].name, found["a/odd"].context) == ("<b>", None)


def test_a_local_server_that_names_no_price_costs_nothing() -> None:
    with Loopback(models=[{"id": "llava", "object": "model"}]) as server:
        endpoint = Endpoint.parse(server.url)
        (model,) = models(endpoint, None)
        assert (model.id, model.price, model.structured) == ("llava", FREE, False)
        (elsewhere,) = models(replace(endpoint, loopback=False), None)
        assert elsewhere.price is None


def test_a_list_that_cannot_be_had_is_one_line() -> None:
    with Loopback(models=[]) as server:
        endpoint = Endpoint.parse(server.url)
        server.listing = {"error": {"message": f"bad key {CANARY}"}}
        with pytest.raises(Unavailable, match=r"gave bad key \[key removed\]; check"):
            models(endpoint, Secret(CANARY))
        server.listing = {"models": []}
        with pytest.raises(Unavailable, match="gave no list of models"):
            models(endpoint, Secret(CANARY))
    with pytest.raises(Unavailable, match=r"cannot be reached \(ConnectError") as caught:
        models(endpoint, Secret(CANARY), timeout=2)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- kept replies


def answer(label: str = "x", cost: float | None = 0.5) -> Answer:
    return Answer({"label": label, "é": [1.5, None]}, MODEL, "served", None, cost, 1, 2, False, 3)


def test_everything_that_decides_a_reply_is_in_its_key_and_nothing_else() -> None:
    endpoint, request = Endpoint.parse(OPENROUTER), question()
    key = call_key(endpoint, MODEL, request)
    assert key == call_key(endpoint, MODEL, replace(request, latent=7))
    first, image = request.parts
    others = [
        call_key(Endpoint.parse("https://example.com/v1"), MODEL, request),
        call_key(endpoint, "other", request),
        *(
            call_key(endpoint, MODEL, replace(request, **change))
            for change in (
                {"system": "x"},
                {"parts": (first, b"other")},
                {"parts": (image, first)},
                {"parts": ("other", image)},
                {"schema_name": "x"},
                {"schema": {**request.schema, "title": "x"}},
                {"max_tokens": 501},
                {"prompt_version": "2"},
            )
        ),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_a_reply_is_kept_as_it_was_and_the_first_stays(tmp_path: Path) -> None:
    endpoint, request = Endpoint.parse(OPENROUTER), question()
    with CallCache(tmp_path / "new" / "calls.sqlite") as calls:
        assert calls.get("k") is None
        calls.put("k", endpoint, request, answer("first"))
        calls.put("k", endpoint, request, answer("second"))
        calls.put("l", endpoint, request, answer(cost=None))
        assert calls.get("k") == replace(answer("first"), cached=True)
        assert (len(calls), calls.paid()) == (2, 0.5)
        # Another process sees it while this one is open: it is committed, and readers do not wait for writers.
        with sqlite3.connect(calls.path) as other:
            assert other.execute("SELECT COUNT(*) FROM calls").fetchone() == (2,)
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.close()
    with CallCache(tmp_path / "new" / "calls.sqlite") as calls:
        assert calls.get("k") == replace(answer("first"), cached=True)


def test_many_threads_and_two_connections_keep_every_reply(tmp_path: Path) -> None:
    endpoint, request = Endpoint.parse(OPENROUTER), question()
    with CallCache(tmp_path / "calls.sqlite") as one, CallCache(tmp_path / "calls.sqlite") as two, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: (one if i % 2 else two).put(str(i), endpoint, request, answer(str(i))), range(60)))
        assert len(one) == len(two) == 60
        assert {one.get(str(i)).data["label"] for i in range(60)} == {str(i) for i in range(60)}  # type: ignore[union-attr]


def test_a_file_that_is_no_cache_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_bytes(b"not a database, but somebody's file" * 100)
    with pytest.raises(DamagedArtifact, match=r"calls\.sqlite is damaged"):
        CallCache(tmp_path / "calls.sqlite")
    assert (tmp_path / "calls.sqlite").read_bytes().startswith(b"not a database")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot keep replies in"):
        CallCache(tmp_path / "file" / "calls.sqlite")


def test_a_cache_that_fails_later_is_one_line(tmp_path: Path) -> None:
    calls = CallCache(tmp_path / "calls.sqlite")
    calls.close()
    with pytest.raises(InputError, match="cannot keep replies in"):
        calls.get("k")


# ---------------------------------------------------------------- settings


def test_money_and_workers_are_not_hashed_and_who_is_asked_is() -> None:
    def hashed(**values: object) -> object:
        return science(validate(VisionConfig, values, "test"))

    assert hashed() == hashed(cap=5, workers=1, allow_unknown_price=True)
    assert hashed() != hashed(model="a/b")
    assert hashed() != hashed(endpoint="http://localhost:1234/v1")
    assert InterpretConfig().vision == VisionConfig()
    assert Endpoint.parse(VisionConfig().endpoint).openrouter


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"key": CANARY}, "unknown key key"),
        ({"endpoint": f"https://u:{CANARY}@example.com"}, "without user, key or query"),
        ({"endpoint": f"https://example.com/?k={CANARY}"}, "without user, key or query"),
        ({"endpoint": f"https://example.com/{CANARY}"}, "holds an API key"),
        ({"model": CANARY}, "holds an API key"),
        ({"endpoint": "example.com"}, "plain https address"),
        ({"cap": -1}, "cap: Input should be greater than or equal to 0"),
        ({"cap": float("inf")}, "cap: Input should be a finite number"),
        ({"detection_batch": 9}, "detection_batch: Input should be less than or equal to 8"),
        ({"score_near_misses": 0, "score_random": 7}, "fewer than 8 negatives"),
    ],
)
def test_a_bad_setting_is_one_line_without_the_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(VisionConfig, values, "test")
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
