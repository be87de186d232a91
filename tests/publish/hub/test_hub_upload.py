"""Uploading meets everything a Hub may answer: what arrives is whole, nothing is sent twice, every refusal is one line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sae_core.errors import InputError, Unavailable
from sae_core.interpret.vision.secrets import Secret
from sae_core.publish.hub.client import Hub, Patience
from sae_core.publish.hub.upload import Pushed, upload
from tests.publish.loopback_hub import READ_TOKEN, TOKEN, LoopbackHub, done_but_lost, reset, status

Push = Callable[..., Pushed]
CARD = b"---\nlicense: mit\n---\n# a card\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two large files and three small ones."""
    content = {
        "README.md": CARD,
        "publication.json": b"{}",
        "dictionary/sae.safetensors": bytes(range(256)) * 4000,
        "dictionary/config.json": b'{"d": 1}',
        "evaluation/flips.parquet": b"PAR1" * 999,
    }
    folder = tmp_path / "publication"
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}


@pytest.fixture
def push(hub: LoopbackHub, files: dict[str, Path], patience: Patience) -> Push:
    """Uploads the files to me/x."""

    def push_(repo: str = "me/x", token: str | None = None, **kwargs: object) -> Pushed:
        secret = None if token is None else Secret(token)
        said = {"folders": ("dictionary", "evaluation", "names"), "marker": "publication.json", **kwargs}
        return upload(Hub(repo, secret, patience=patience), files, **said)  # type: ignore[arg-type]

    return push_


def contents(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in files.items()}


def published(hub: LoopbackHub, repo: str = "me/x") -> dict[str, bytes]:
    return {name: content for name, content in hub.repos[repo].files.items() if name != ".gitattributes"}


def test_a_new_repository_is_private_and_holds_the_files_after_one_commit(
    hub: LoopbackHub, push: Push, files: dict[str, Path]
) -> None:
    done = push(message="Publish it")
    assert published(hub) == contents(files)
    assert hub.repos["me/x"].private
    assert hub.repos["me/x"].messages == ["initial commit", "Publish it"]
    assert done.private
    assert set(done.uploaded) == set(files)
    assert done.commit == hub.repos["me/x"].branches["main"]
    assert done.url == f"{hub.url}/me/x"
    large = {
        hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in files.items()
        if name.endswith((".safetensors", ".parquet"))
    }
    assert set(hub.storage) == large, "large files go through the large files' storage, small ones do not"
    assert hub.kinds[:3] == ["whoami", "auth-check", "create"], "the token is checked before anything is made"


def test_public_is_only_what_was_asked_for(hub: LoopbackHub, push: Push) -> None:
    push(private=False)
    assert not hub.repos["me/x"].private
    hub.make("me/open", private=False)
    with pytest.raises(InputError, match="public already"):
        push("me/open")
    assert set(hub.repos["me/open"].files) == {".gitattributes"}


def test_the_same_content_makes_no_commit_and_sends_nothing(hub: LoopbackHub, push: Push) -> None:
    push()
    stored, commits = hub.seen("store"), hub.seen("commit")
    again = push()
    assert not again.changed
    assert len(again.unchanged) == 5
    assert (hub.seen("store"), hub.seen("commit")) == (stored, commits)
    assert len(hub.repos["me/x"].messages) == 2


def test_only_what_changed_is_sent_and_what_left_is_deleted(hub: LoopbackHub, push: Push, files: dict[str, Path]) -> None:
    push()
    files["dictionary/config.json"].write_bytes(b'{"d": 2}')
    del files["evaluation/flips.parquet"]
    hub.repos["me/x"].files["notes.txt"] = b"the owner's own"
    done = push()
    assert done.uploaded == ("dictionary/config.json",)
    assert done.deleted == ("evaluation/flips.parquet",)
    assert published(hub) == {**contents(files), "notes.txt": b"the owner's own"}


def test_a_branch_is_made_and_main_stays(hub: LoopbackHub, push: Push, files: dict[str, Path]) -> None:
    done = push(revision="second")
    repo = hub.repos["me/x"]
    assert set(repo.files) == {".gitattributes"}
    assert set(repo.commits[repo.branches["second"]]) == {".gitattributes", *files}
    assert done.url.endswith("/me/x/tree/second")
    assert not push(revision="second").changed


def test_somebody_elses_content_is_not_overwritten(hub: LoopbackHub, push: Push) -> None:
    hub.make("me/other", files={"model.safetensors": b"precious"})
    with pytest.raises(InputError, match="holds something else"):
        push("me/other")
    assert hub.repos["me/other"].messages == ["initial commit"]


# ---------------------------------------------------------------- interruption and resumption


def test_an_interrupted_upload_shows_nothing_and_goes_on_where_it_stopped(
    hub: LoopbackHub, push: Push, files: dict[str, Path]
) -> None:
    hub.script("store", None, *[status(500)] * 100)
    with pytest.raises(
        Unavailable, match="of 5 changed files are stored there, nothing is visible yet; the same command goes on"
    ):
        push()
    assert set(hub.repos["me/x"].files) == {".gitattributes"}
    assert len(hub.storage) == 1
    hub._script.clear()
    before = hub.seen("store")
    push()
    assert published(hub) == contents(files)
    assert hub.seen("store") == before + 1, "the file that was stored is not sent again"


def test_a_cancelled_upload_goes_on(hub: LoopbackHub, push: Push, files: dict[str, Path]) -> None:
    from sae_core.errors import Cancelled
    from sae_core.progress import Event

    def stop(event: Event) -> None:
        if event.step == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        push(report=stop)
    assert set(hub.repos["me/x"].files) == {".gitattributes"}
    push()
    assert published(hub) == contents(files)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: LoopbackHub, push: Push, files: dict[str, Path]) -> None:
    hub.script("commit", done_but_lost())
    done = push()
    assert published(hub) == contents(files)
    assert len(hub.repos["me/x"].messages) == 2
    assert set(done.uploaded) == set(files)


def test_another_writers_commit_is_kept(hub: LoopbackHub, push: Push, files: dict[str, Path], waits: list[float]) -> None:
    repo = hub.make("me/x", files={"publication.json": b"{}"})

    def meanwhile(handler: object) -> None:
        repo.commit("main", {**repo.files, "notes.txt": b"theirs"}, "theirs")
        status(412)(handler)  # type: ignore[arg-type]

    hub.script("commit", meanwhile)
    push()
    assert published(hub) == {**contents(files), "notes.txt": b"theirs"}
    assert waits == [1.0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "code", "error", "said"),
    [
        ("whoami", 401, InputError, "does not accept the token (401)"),
        ("auth-check", 401, InputError, "does not accept the token (401)"),
        ("auth-check", 403, InputError, "no right to do this (403)"),
        ("create", 403, InputError, "no right to do this (403)"),
        ("create", 402, InputError, "plan or storage does not allow it (402)"),
        ("info", 404, InputError, "no such repository"),
        ("commit", 403, InputError, "no right to do this (403)"),
        ("commit", 413, InputError, "too large for the Hub (413)"),
        ("commit", 400, InputError, "the Hub refused the request (400)"),
    ],
)
def test_a_refusal_is_one_line_and_is_not_repeated(
    hub: LoopbackHub, push: Push, waits: list[float], kind: str, code: int, error: type[Exception], said: str
) -> None:
    hub.script(kind, status(code))
    with pytest.raises(error) as caught:
        push()
    line = str(caught.value)
    assert said in line
    assert "me/x" in line
    assert "\n" not in line
    assert TOKEN not in line
    assert waits == []
    assert hub.seen(kind) == 1
    if "me/x" in hub.repos:
        assert set(hub.repos["me/x"].files) == {".gitattributes"}


@pytest.mark.parametrize(
    "kind", ["whoami", "auth-check", "create", "info", "tree", "preupload", "batch", "store", "verify", "commit"]
)
@pytest.mark.parametrize("trouble", [429, 500, 502, 503, "reset"])
def test_trouble_that_passes_is_waited_out(
    hub: LoopbackHub, push: Push, files: dict[str, Path], kind: str, trouble: int | str
) -> None:
    hub.script(kind, *([reset()] if trouble == "reset" else [status(int(trouble)), status(int(trouble))]))
    push()
    assert published(hub) == contents(files)


@pytest.mark.parametrize(
    ("code", "said"), [(429, "too many requests (429)"), (503, "in trouble (503)"), (409, "somebody else is writing")]
)
@pytest.mark.parametrize("kind", ["whoami", "commit"])
def test_trouble_that_stays_ends(hub: LoopbackHub, push: Push, waits: list[float], kind: str, code: int, said: str) -> None:
    hub.script(kind, *[status(code)] * 100)
    with pytest.raises(Unavailable) as caught:
        push()
    assert said in str(caught.value)
    assert "run the same again" in str(caught.value)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_the_hubs_own_wait_is_kept_and_a_long_one_is_not_sat_out(hub: LoopbackHub, push: Push, waits: list[float]) -> None:
    hub.script("whoami", status(429, {"Retry-After": "7"}), status(429, {"ratelimit": '"api";r=0;t=11'}))
    push()
    assert waits == [7.0, 11.0]
    hub.script("whoami", status(429, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable, match="asks to wait 3600 s"):
        push()
    hub.script("store", status(503, {"Retry-After": "900"}))
    hub.storage.clear()
    hub.repos.clear()
    with pytest.raises(Unavailable, match="asks to wait 900 s"):
        push()
    assert waits == [7.0, 11.0]


def test_two_repositories_made_at_once_do_not_ask_for_ever(hub: LoopbackHub, push: Push, waits: list[float]) -> None:
    busy = status(409, message="Cannot create repo: another conflicting operation is in progress")
    hub.script("create", busy, busy)
    push()
    assert waits == [1.0, 2.0]
    hub.repos.clear()
    hub.script("create", *[busy] * 100)
    with pytest.raises(Unavailable, match="somebody else is writing"):
        push()


# ---------------------------------------------------------------- tokens


def test_no_token_is_said_before_anything_is_asked(hub: LoopbackHub, push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="HF_TOKEN"):
        push()
    assert hub.requests == []


def test_a_token_that_can_only_read_makes_nothing(hub: LoopbackHub, push: Push) -> None:
    with pytest.raises(InputError, match="can only read"):
        push(token=READ_TOKEN)
    assert hub.kinds == ["whoami"]


def test_the_token_given_is_used_and_not_the_environments(hub: LoopbackHub, push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_ofTheOwnerOfThisServer0123456789")
    push(token=TOKEN)
    said = {headers.get("authorization", headers.get("Authorization")) for _, _, headers, _ in hub.requests}
    assert said == {f"Bearer {TOKEN}", None}
    assert all("/storage/" in path for _, path, headers, _ in hub.requests if "uthorization" not in str(headers))


def test_someone_elses_repository_is_refused(hub: LoopbackHub, push: Push) -> None:
    hub.make("you/x", private=False)
    with pytest.raises(InputError, match="403"):
        push("you/x")
    with pytest.raises(InputError, match="403"):
        push("you/new")
