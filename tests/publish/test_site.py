"""A site holds what the run holds, byte for byte the same each time, nothing from outside and nothing that was not given away."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sae_core import pipeline
from sae_core.config import load_config
from sae_core.errors import DamagedArtifact, InputError
from sae_core.interpret.records import Names
from sae_core.interpret.visualize import image_tile
from sae_core.publish.site import Site, write_site
from sae_core.publish.site.cards import value
from sae_core.publish.site.folder import RECEIPT, replacing
from sae_core.store import Store

ROOT = Path(__file__).parents[2]
EVIL = "</script><img src=http://evil.example/x onerror=alert(1)>"
SMALL = [
    "name=small",
    "data.sketch.n=240",
    "data.photo.n=240",
    "sae.width=80",
    "sae.architecture.k=6",
    "sae.batch_size=64",
    "sae.steps=60",
    "evaluate.bootstrap=100",
    "evaluate.sparse_probes=false",
    "interpret.random_directions=50",
]
TEXT = (".html", ".js", ".css", ".md", ".json", ".csv", ".log")


def read(out: Path, name: str) -> Any:
    """What a data file holds."""
    text = (out / "data" / f"{name}.js").read_text(encoding="utf-8")
    found = re.fullmatch(r'lab\.receive\("([\w-]+)",(.*)\);\n', text, re.DOTALL)
    assert found is not None
    assert found[1] == name
    return json.loads(found[2])


def texts(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): path.read_text(encoding="utf-8") for path in out.rglob("*") if path.suffix in TEXT}


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A small drawn run with evaluation, names and a map of directions, without verdicts."""
    config, store = load_config(ROOT / "configs" / "demo.yaml", SMALL), Store(tmp_path_factory.mktemp("site") / "cache")
    for stage in ("evaluate", "interpret", "directions"):
        pipeline.run(stage, config, store)
    return pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)


@pytest.fixture(scope="module")
def site(run: pipeline.Run, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return write_site(run, tmp_path_factory.mktemp("written") / "site")


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A run on a folder of pictures, which belong to somebody."""
    pictures = tmp_path_factory.mktemp("somewhere") / "private-pictures"
    rng = np.random.default_rng(0)
    for nth in range(60):
        file = pictures / f"kind{nth % 3}" / f"secretname{nth}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 56), dtype=np.uint8)).save(file)
    own = [f"data={{source: folder, path: {pictures}, rendering: sketch}}", "sae.width=32", "sae.architecture.k=4"]
    config = load_config(ROOT / "configs" / "demo.yaml", ["name=folder", "sae.batch_size=16", "sae.steps=20", *own])
    store = Store(tmp_path_factory.mktemp("folder") / "cache")
    for stage in ("evaluate", "interpret"):
        pipeline.run(stage, config, store)
    return pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)


def replaced(run: pipeline.Run, node: str, path: Path) -> pipeline.Run:
    """The run with another folder for one of its artifacts."""
    return dataclasses.replace(run, outcomes={**run.outcomes, node: dataclasses.replace(run.outcomes[node], path=path)})


# ---------------------------------------------------------------- what it is


def test_it_asks_for_nothing_from_outside(site: Site) -> None:
    page = (site.out / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)
    assert not re.findall(r'(?:src|href|srcset|action)="(?!#)[^"]*:', page), "an address elsewhere"
    for name, text in texts(site.out).items():
        if name.endswith((".js", ".css")):
            assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), name
    assert not re.search(
        r"\b(?:fetch|XMLHttpRequest|eval|innerHTML|insertAdjacentHTML|document\.write)\b",
        "".join(texts(site.out / "site").values()),
    )


def test_every_file_it_names_is_there_and_counted(site: Site) -> None:
    page = (site.out / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="([^"#][^"]*)"', page):
        assert (site.out / name).is_file(), name
    files = content(site.out)
    assert (site.files, site.bytes) == (len(files), sum(map(len, files.values())))
    receipt = json.loads(files.pop(RECEIPT))
    assert {name: one["size"] for name, one in receipt["files"].items()} == {name: len(data) for name, data in files.items()}
    assert "@@" not in page


def test_the_readme_makes_a_static_space(site: Site) -> None:
    text = (site.out / "README.md").read_text(encoding="utf-8")
    matter = yaml.safe_load(text.split("---")[1])
    assert (matter["sdk"], matter["app_file"], matter["title"]) == ("static", "index.html", "small")


def test_writing_twice_gives_the_same_bytes(site: Site, run: pipeline.Run, tmp_path: Path) -> None:
    assert content(write_site(run, tmp_path / "again").out) == content(site.out)


# ---------------------------------------------------------------- what it holds


def test_the_table_is_the_run_s(site: Site, run: pipeline.Run) -> None:
    acts, names = run.load("collect"), run.load("interpret")
    about, columns = read(site.out, "about"), read(site.out, "latents")["columns"]
    assert (about["latents"], about["images"], about["run"]) == (acts.m, acts.n, run.id)
    assert [domain["name"] for domain in about["domains"]] == list(acts.domains)
    assert columns["rate"] == [value(one) for one in acts.stats["rate"].tolist()]
    assert columns["d1.rate"] == [value(one) for one in acts.stats["photo.rate"].tolist()]
    assert columns["name"] == [names.label(j) for j in range(acts.m)]
    dead = [j for j in range(acts.m) if acts.stats["count"].iat[j] == 0]
    assert [j for j, group in enumerate(columns["group"]) if group == "dead"] == dead
    assert [j for j, held in enumerate(columns["picture"]) if not held] == dead


def test_every_latent_has_a_card_with_its_strongest_pictures(site: Site, run: pipeline.Run) -> None:
    acts = run.load("collect")
    manifests = {name: run.load(f"manifest:{name}") for name in acts.domains}
    about, pictures = read(site.out, "about"), read(site.out, "pictures")
    cards = {int(j): card for nth in (0, 1) for j, card in read(site.out, f"cards-{nth:03d}").items()}
    assert sorted(cards) == list(range(acts.m))
    looked = 0
    for j in acts.strongest(6).tolist():
        for nth, domain in enumerate(acts.domains):
            top = acts.top(j, 12, domain=domain)
            own = cards[j]["top"][nth]
            assert [entry[2] for entry in own] == [value(one) for one in top["value"].tolist()]
            for (_, number, *_rest), image in list(zip(own, top["image"].tolist(), strict=True))[:3]:
                seen = cut(site.out, pictures, nth, number).convert("RGB")
                true = image_tile(manifests[domain], image, 96).convert("RGB").resize(seen.size)
                # The sheet is compressed with loss, so it is near and not the same.
                assert np.abs(np.asarray(seen, float) - np.asarray(true, float)).mean() < 20
                word = pictures[nth]["words"][pictures[nth]["what"][number]]
                assert word == manifests[domain].classes[manifests[domain].labels[image]]
                looked += 1
    assert looked >= 20
    assert about["shard"] == 64


def cut(out: Path, pictures: list[dict[str, Any]], domain: int, number: int) -> Image.Image:
    """A picture from its sheet, as card.js cuts it."""
    side, across = pictures[domain]["side"], pictures[domain]["across"]
    sheet, at = divmod(number, across**2)
    left, top = at % across * side, at // across * side
    return Image.open(out / "pictures" / f"{domain}-{sheet:03d}.webp").crop((left, top, left + side, top + side))


def test_the_report_has_its_numbers_without_a_script(site: Site, run: pipeline.Run) -> None:
    page = (site.out / "index.html").read_text(encoding="utf-8")
    for found in run.load("evaluate").report["domains"].values():
        q = found["reconstruction"]
        assert f"{q['r2']:.3f} [{q['r2_ci_low']:.3f}, {q['r2_ci_high']:.3f}]" in page
    assert "python -m sae_core geometry --config FILE" in page, "what is missing says what makes it"
    for key in run.keys.values():
        assert key in page
    assert "<figure" not in page
    assert 'type="application/json"' not in page
    for name in ("names.json", "sae_latents.csv", "report.json"):
        assert (site.out / name).is_file()


# ---------------------------------------------------------------- what it must not hold


def test_hostile_names_stay_text(run: pipeline.Run, tmp_path: Path) -> None:
    table = run.load("interpret").table.copy()
    table["label"], table["status"] = (
        [EVIL, "=HYPERLINK(1)", "![x](http://evil.example)\u202e\x00", *["plain"] * (len(table) - 3)],
        "ok",
    )
    Names(table, {**run.load("interpret").about, "circularity": EVIL}).save(tmp_path)
    out = write_site(replaced(run, "interpret", tmp_path), tmp_path / "site").out
    assert read(out, "latents")["columns"]["name"][0] == EVIL
    assert not {"\u202e", "\x00"} & set(read(out, "latents")["columns"]["name"][2])
    for name, text in texts(out).items():
        if name.endswith((".js", ".html")):
            assert "<img src" not in text, name
        if name.startswith("data/"):
            assert "<" not in text, name
    assert "'=HYPERLINK(1)" in (out / "sae_latents.csv").read_text(encoding="utf-8")


def test_pictures_of_others_are_left_out_unless_they_may_be_shown(folder_run: pipeline.Run, tmp_path: Path) -> None:
    place = str(Path(folder_run.config.data["sketch"].path).parent).encode()  # type: ignore[union-attr]
    closed = write_site(folder_run, tmp_path / "closed")
    assert closed.withheld == ("sketch",)
    assert not list(closed.out.rglob("*.webp"))
    for name, data in content(closed.out).items():
        assert b"secretname" not in data, name
        assert place not in data, name
    assert read(closed.out, "about")["domains"][0]["withheld"] is True
    assert {word for one in read(closed.out, "pictures") for word in one["words"]} == {"kind0", "kind1", "kind2"}
    assert "nobody has said that they may be published" in (closed.out / "index.html").read_text(encoding="utf-8")
    shown = write_site(folder_run, tmp_path / "open", images=True)
    assert shown.withheld == ()
    assert list((shown.out / "pictures").glob("*.webp"))
    for name, data in content(shown.out).items():
        assert place not in data, name


def test_no_secret_and_no_place_of_this_machine(
    site: Site, run: pipeline.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "canary-2f7c")
    monkeypatch.setenv("HF_TOKEN", "canary-2f7c")
    place = str(run.paths["train"].parent.parent).encode()
    for name, data in content(write_site(run, tmp_path / "site").out).items():
        assert b"canary-2f7c" not in data, name
        assert place not in data, name


# ---------------------------------------------------------------- what is refused


def test_half_a_run_is_told_what_it_lacks(run: pipeline.Run, tmp_path: Path) -> None:
    for node in ("train", "collect"):
        half = dataclasses.replace(run, outcomes={name: one for name, one in run.outcomes.items() if name != node})
        with pytest.raises(InputError, match=rf"no {node} artifact yet.*python -m sae_core {node}"):
            write_site(half, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    bare = {name: one for name, one in run.outcomes.items() if name not in ("evaluate", "interpret", "directions")}
    site = write_site(dataclasses.replace(run, outcomes=bare), tmp_path / "bare")
    columns = read(site.out, "latents")["columns"]
    assert not {"name", "score", "x"} & set(columns)
    assert "python -m sae_core evaluate --config FILE" in (site.out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("node", "file"), [("interpret", "names.json"), ("collect", "col_vals.npy"), ("manifest:sketch", "rows.parquet")]
)
def test_a_damaged_artifact_is_named_and_leaves_no_site(run: pipeline.Run, tmp_path: Path, node: str, file: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run.paths[node], broken)
    data = (broken / file).read_bytes()
    (broken / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedArtifact) as told:
        write_site(replaced(run, node, broken), tmp_path / "out" / "site")
    assert len(str(told.value).splitlines()) == 1
    assert not list((tmp_path / "out").rglob("*"))


def test_pictures_that_cannot_be_read_are_named(run: pipeline.Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run.paths["manifest:photo"], broken)
    pack = next(
        path for path in broken.iterdir() if path.stat().st_size == max(one.stat().st_size for one in broken.glob("thumb*"))
    )
    pack.write_bytes(bytes(pack.stat().st_size))
    with pytest.raises(DamagedArtifact, match=r"picture \d+ of photo cannot be read"):
        write_site(replaced(run, "manifest:photo", broken), tmp_path / "site")
    assert not (tmp_path / "site").exists()


# ---------------------------------------------------------------- where it is written


def write(folder: Path, *, force: bool = False, **files: bytes) -> None:
    with replacing(folder, "run", force) as made:
        for name, data in files.items():
            made.write(name, data)


def test_a_site_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "site"
    write(out, **{"a/one.js": b"1", "two.js": b"2"})
    write(out, **{"two.js": b"3"})
    assert sorted(content(out)) == [RECEIPT, "two.js"]
    assert not (out / "a").exists()
    assert [path.name for path in out.parent.iterdir()] == ["site"]


def test_the_earlier_site_stands_until_the_next_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write(out, page=b"old")
    with pytest.raises(TypeError):
        write(out, page=b"new", broken=None)  # type: ignore[arg-type]
    assert (out / "page").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_people_s_files_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds files that are no site"):
        write(out, page=b"new")
    write(out, force=True, page=b"new")
    write(out, page=b"newer")
    assert (out / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert (out / "page").read_bytes() == b"newer"
    with pytest.raises(InputError, match="is a file; give a folder"):
        write(out / "mine.txt", page=b"new")


def test_a_receipt_removes_nothing_outside_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "site"
    write(out, page=b"1")
    (tmp_path / "precious.txt").write_text("precious", encoding="utf-8")
    (out / RECEIPT).write_text(
        json.dumps({"files": {"../precious.txt": {}, str(tmp_path / "precious.txt"): {}}}), encoding="utf-8"
    )
    write(out, page=b"2")
    assert (tmp_path / "precious.txt").is_file()
    (out / RECEIPT).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"site\.json cannot be read"):
        write(out, page=b"3")


def test_numbers_are_short_and_text_is_plain() -> None:
    assert [value(one) for one in (0.123456, 1.0, float("nan"), np.float32(2), None, 12345678.0)] == [
        0.1235,
        1,
        None,
        2,
        None,
        12350000.0,
    ]
    assert value("a\x00\u202eb") == "a b"
