"""Nothing that looks like a secret is published, in whatever file it hides, and no message repeats it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import sae_core as sc
from sae_core.errors import InputError
from sae_core.publish.card import model_card
from sae_core.publish.folder import export_run
from sae_core.publish.licences import Licences, front_matter, stated_licences
from sae_core.publish.scan import BLOCK, refuse_secrets, scan

SECRETS = {
    "a token of the Hugging Face Hub (hf_...)": "hf_" + "abcdefghijKLMNOPQRST0123456789",
    "an API key (sk-...)": "sk-or-v1-0123456789abcdef0123",
    "a token of GitHub (ghp_...)": "ghp_" + "a1B2" * 9,
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a path of somebody's home folder": "/home/somebody/pictures/",
    "the value of the environment variable LAB_API_KEY": "correct horse battery",
    "a path of this machine's home folder": "/srv/me/pictures",
}
ENVIRONMENT = {"LAB_API_KEY": "correct horse battery", "SHORT_KEY": "abc", "EMPTY_TOKEN": "", "LANG": "en_GB.UTF-8 with spaces"}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("form", ["text", "late in a large file", "parquet", "nested parquet"])
def test_each_kind_is_found_in_each_form_of_file(tmp_path: Path, kind: str, form: str) -> None:
    text = f"before {SECRETS[kind]} after"
    file = tmp_path / ("table.parquet" if "parquet" in form else "file.bin")
    if form == "parquet":
        pd.DataFrame({"n": range(50), "words": ["nothing"] * 49 + [text]}).to_parquet(file)
    elif form == "nested parquet":
        pd.DataFrame({"words": [["nothing"], [text]]}).to_parquet(file)
    else:
        file.write_bytes(text.encode() if form == "text" else b"\0" * (BLOCK - 10) + text.encode())
    found = scan({"evaluation/it": file}, ENVIRONMENT, Path("/srv/me"))
    assert kind in {one.kind for one in found}
    with pytest.raises(InputError) as caught:
        refuse_secrets({"evaluation/it": file}, {**ENVIRONMENT, "OTHER_SECRET": SECRETS[kind]})
    assert "evaluation/it holds" in str(caught.value)
    assert SECRETS[kind] not in str(caught.value)


def test_what_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text(
        "hf_short sk-short /homework/x abc en_GB.UTF-8 with spaces task-oriented-semantic-kernel /home/", encoding="utf-8"
    )
    assert scan({"file.txt": file}, ENVIRONMENT, Path("/srv/me")) == []


def test_json_and_link_forms_of_a_value_are_found(tmp_path: Path) -> None:
    for number, text in enumerate((r"pass\"word\\here", "pass%22word%5Chere")):
        file = tmp_path / f"{number}.txt"
        file.write_text(text, encoding="utf-8")
        assert scan({"x": file}, {"MY_PASSWORD": 'pass"word\\here'}, Path("/srv/me"))


def test_an_export_with_a_secret_in_a_name_is_refused(
    small_run: sc.pipeline.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export_run(small_run, tmp_path / "clean")
    # A word that certainly stands in a published table becomes the value of a secret variable.
    monkeypatch.setenv("SOME_TOKEN", "abstention_isotropic"[:10])
    with pytest.raises(InputError, match="the value of the environment variable SOME_TOKEN"):
        export_run(small_run, tmp_path / "refused")


def test_a_folder_of_ones_own_is_never_emptied(small_run: sc.pipeline.Run, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("years of work")
    with pytest.raises(InputError, match="not an empty folder"):
        export_run(small_run, tmp_path / "thesis")
    out = tmp_path / "out"
    first = {path: path.read_bytes() for path in export_run(small_run, out)}
    assert {path: path.read_bytes() for path in export_run(small_run, out)} == first
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no export wrote"):
        export_run(small_run, out)
    assert (out / "notes.txt").read_text() == "mine"


# ---------------------------------------------------------------- licences


def test_a_licence_is_what_was_stated_and_nothing_else(small_run: sc.pipeline.Run) -> None:
    assert front_matter(None) == {"license": "other", "license_name": "not-stated"}
    assert front_matter("CC-BY-4.0") == {"license": "cc-by-4.0"}
    assert front_matter("My own: terms!") == {"license": "other", "license_name": "my-own-terms"}
    card = model_card(small_run)
    assert "- The dictionary and the tables here: not stated by the publisher." in card
    assert "Images of sketch, none of which are here: drawn by this program" in card
    stated = stated_licences("mit", ["photo=CC BY 2.0, <b>them</b> | x"], small_run.config)
    assert stated == Licences("mit", {"photo": "CC BY 2.0, b them /b x"})
    assert stated.missing(small_run.config) == []
    for bad in ("photo", "photo=", "moon=mit"):
        with pytest.raises(InputError, match="DOMAIN=LICENCE"):
            stated_licences(None, [bad], small_run.config)
