"""The drawn world: the same bytes from the same (seed, index), every class in both renderings, no shortcut but shape."""

import dataclasses
import json
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_core.data import drawn
from sae_core.data.drawn import CLASSES, PRIMITIVES, RENDERINGS, Scene
from sae_core.data.drawn.__main__ import main
from sae_core.errors import InputError

N = len(CLASSES)
SHAPE = {"sketch": (64, 64), "photo": (32, 32, 3)}


def test_classes_are_many_distinct_and_lower_case() -> None:
    assert N >= 36
    assert len(set(CLASSES)) == N
    assert all(name == name.lower().strip() for name in CLASSES)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_class_is_drawn_and_fills_the_frame(rendering: str) -> None:
    batch = drawn.draw(3 * N, seed=4, rendering=rendering)
    assert batch.images.dtype == np.uint8
    assert batch.images.shape == (3 * N, *SHAPE[rendering])
    assert batch.labels.tolist() == list(range(N)) * 3
    assert batch.counts.shape == (3 * N, len(PRIMITIVES))
    assert (batch.counts >= 0).all()
    assert (batch.counts.sum(1) > 0).all()
    for image, scene in zip(batch.images, batch.scenes, strict=True):
        points = np.concatenate([s.points for s in scene.strokes])
        assert points.min() >= 0
        assert points.max() <= 1
        assert np.ptp(points, axis=0).max() > 0.6, f"{scene.name} is small"
        assert image.std() > 4, f"{scene.name} is blank"
        if rendering == "sketch":
            ink = (image < 128).mean()
            assert 0.01 < ink < 0.5, f"{scene.name}: {ink:.0%} of the paper is inked"
            border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            assert border.min() > 100, f"{scene.name} is cut off"


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(1, 9), st.sampled_from(RENDERINGS), st.data())
def test_any_partition_gives_the_same_bytes(seed: int, start: int, n: int, rendering: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, n))
    whole = drawn.draw(n, seed, rendering, start=start)
    parts = [drawn.draw(m, seed, rendering, start=s) for m, s in ((n - cut, start + cut), (cut, start)) if m]
    parts.reverse()  # the later part was drawn first
    assert b"".join(p.images.tobytes() for p in parts) == whole.images.tobytes()
    assert np.concatenate([p.labels for p in parts]).tolist() == whole.labels.tolist()
    assert np.concatenate([p.counts for p in parts]).tolist() == whole.counts.tolist()
    assert [c for p in parts for c in p.captions] == whole.captions


def test_items_of_a_class_differ_and_so_do_seeds() -> None:
    batch = drawn.draw(4 * N, seed=0, rendering="sketch")
    for label in range(N):
        pictures = {image.tobytes() for image in batch.images[batch.labels == label]}
        assert len(pictures) == 4
    assert not np.array_equal(drawn.draw(5, 1, "photo").images, drawn.draw(5, 2, "photo").images)


def test_a_known_world_has_not_changed() -> None:
    """If this fails on purpose, raise `VERSION` and put in the new figures."""
    batch = drawn.draw(4 * N, seed=7, rendering="sketch")
    assert drawn.VERSION == 1
    assert batch.counts.sum(0).tolist() == KNOWN_COUNTS
    x, y = np.concatenate([s.points for scene in batch.scenes for s in scene.strokes]).mean(0)
    assert (x, y) == pytest.approx(KNOWN_CENTRE, abs=1e-5)


KNOWN_COUNTS = [1622, 539, 898, 966, 697, 307, 111]
KNOWN_CENTRE = (0.498153, 0.489854)


@pytest.mark.parametrize("size", [64, 97, 224])
def test_a_picture_shows_the_same_at_any_size(size: int) -> None:
    for index in range(0, N, 5):
        scene = drawn.scene(3, index)
        large = drawn.render(scene, "sketch", size)
        assert large.shape == (size, size)
        small = cv2.resize(drawn.render(scene, "sketch", 448), (size, size), interpolation=cv2.INTER_AREA)
        assert np.abs(large.astype(float) - small).mean() < 8
        assert drawn.render(scene, "photo", size).shape == (size, size, 3)


def test_photo_chance_is_a_function_of_seed_and_index() -> None:
    scene = drawn.scene(3, 8)
    assert np.array_equal(drawn.render(scene, "photo"), drawn.render(scene, "photo", seed=3, index=8))
    assert not np.array_equal(drawn.render(scene, "photo"), drawn.render(scene, "photo", seed=3, index=9))


def border(images: np.ndarray) -> np.ndarray:
    """The outermost pixels of every image, flat."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return np.concatenate([e.reshape(len(images), -1) for e in edges], axis=1).astype(np.float64)


def nearest_centroid(x: np.ndarray, labels: np.ndarray, train: int) -> float:
    centroids = np.stack([x[:train][labels[:train] == k].mean(0) for k in range(N)])
    distance = (x[train:] ** 2).sum(1)[:, None] - 2 * x[train:] @ centroids.T + (centroids**2).sum(1)
    return float((distance.argmin(1) == labels[train:]).mean())


def test_neither_background_nor_colour_gives_the_class_away() -> None:
    """Border pixels and mean colours must do no better than chance, 1 in 54, with a margin of four standard errors."""
    batch = drawn.draw(50 * N, seed=12, rendering="photo", keep_scenes=False)
    test = 20 * N
    limit = 1 / N + 4 * np.sqrt(1 / N * (1 - 1 / N) / test)
    assert nearest_centroid(border(batch.images), batch.labels, 30 * N) < limit
    assert nearest_centroid(batch.images.mean((1, 2)), batch.labels, 30 * N) < limit
    whole = batch.images.reshape(len(batch.images), -1).astype(np.float64)
    shape = np.abs(whole - np.median(border(batch.images), axis=1, keepdims=True))
    assert nearest_centroid(shape, batch.labels, 30 * N) > 3 * limit, "shape should give it away"


def test_one_background_for_every_class() -> None:
    """With seed and index held, the background far from the object is the same whatever the class."""
    pictures = np.stack([drawn.render(drawn.scene(5, 0, label), "photo", seed=5, index=0) for label in range(N)])
    corner = pictures[:, 0, 0].astype(int)
    assert np.abs(corner - np.median(corner, axis=0)).mean() < 4


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_captions_name_the_class_and_only_what_is_there(rendering: str) -> None:
    absent = dict(zip(PRIMITIVES, ("straight line", "curve", "corner", "junction", "loop", "parallel", " dots"), strict=True))
    batch = drawn.draw(12 * N, seed=2, rendering=rendering)
    for scene, text in zip(batch.scenes, batch.captions, strict=True):
        assert scene.name in text
        assert text == scene.caption(rendering)
        assert ("sketch" in text or "drawing" in text) == (rendering == "sketch")
        assert f"{'an' if scene.name in ('envelope', 'umbrella', 'arrow', 'anchor', 'hourglass', 'ice cream') else 'a'} " in text
        for primitive, word in absent.items():
            if scene.counts[primitive] == 0:
                assert word not in text
    assert len(set(batch.captions)) > 8 * N
    assert any("three " in text for text in batch.captions)
    chance = np.random.default_rng(0)
    assert len({batch.scenes[0].caption(rendering, chance) for _ in range(20)}) > 5


def test_svg_is_xml_with_a_path_for_every_inked_stroke() -> None:
    for index in range(N):
        scene = drawn.scene(1, index)
        root = ET.fromstring(scene.svg())
        paths = root.findall(".//{http://www.w3.org/2000/svg}path")
        assert len(paths) == sum(s.width > 0 for s in scene.strokes)
        filled = [p for p in paths if p.get("fill") == "#000"]
        assert len(filled) == scene.counts["dots"]


def test_json_gives_back_the_same_pictures() -> None:
    for index in range(0, N, 7):
        scene = drawn.scene(6, index)
        again = Scene.from_json(scene.to_json())
        assert again.counts == scene.counts
        assert again.caption("photo") == scene.caption("photo")
        for rendering in RENDERINGS:
            assert np.array_equal(drawn.render(again, rendering), drawn.render(scene, rendering))


def test_damaged_json_is_refused() -> None:
    good = json.loads(drawn.scene(6, 0).to_json())
    bad = [
        "{",
        "[]",
        json.dumps({k: v for k, v in good.items() if k != "counts"}),
        json.dumps(good | {"strokes": [good["strokes"][0] | {"points": [[0.5, float("nan")], [0, 0]]}]}),
        json.dumps(good | {"strokes": [good["strokes"][0] | {"kind": "spray"}]}),
    ]
    for text in bad:
        with pytest.raises(InputError, match="scene"):
            Scene.from_json(text)


def test_a_scene_cannot_be_changed() -> None:
    scene = drawn.scene(0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.label = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        scene.strokes[0].points[0, 0] = 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: drawn.scene(-1, 0),
        lambda: drawn.scene(0, 2**64),
        lambda: drawn.scene(0.5, 0),
        lambda: drawn.scene(0, 0, label=N),
        lambda: drawn.scene(0, 0, label=-1),
        lambda: drawn.draw(0, 0, "sketch"),
        lambda: drawn.draw(3, 0, "etching"),
        lambda: drawn.draw(3, 0, "sketch", start=-1),
        lambda: drawn.draw(3, 0, "sketch", size=10),
        lambda: drawn.render(drawn.scene(0, 0), "etching"),
        lambda: drawn.render(drawn.scene(0, 0), "photo", size=10**6),
        lambda: drawn.scene(0, 0).caption("etching"),
        lambda: drawn.primitive("blot", 0, 0),
    ],
)
def test_bad_arguments_are_one_line_for_the_user(call) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_command_writes_a_sheet(tmp_path, capsys) -> None:
    out = tmp_path / "sheet.png"
    assert main(["--out", str(out), "--each", "2", "--cell", "40", "--classes", "house", "spiral"]) == 0
    assert cv2.imread(str(out)).shape == (88, 110 + 4 * 44, 3)
    assert "/s" in capsys.readouterr().out
    assert main(["--out", str(out), "--classes", "unicorn"]) == 2
    assert "unicorn" in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "none" / "sheet.png"), "--classes", "house", "--each", "1"]) == 2
    assert main(["--out", str(out), "--each", "-1"]) == 2
