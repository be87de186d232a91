"""Long work as detached processes of the same command line, each with its folder `cache/.jobs/<id>/`.

The folder holds `config.json` (the run's configuration), `events.jsonl` (every event), `status.json` (atomic, with a heartbeat),
`stop` (its presence asks the worker to stop) and `log.txt` (its standard error). A page, a refresh or another browser finds the
job by its id, which follows from the work: a second click on the same work attaches to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from filelock import FileLock

from sae_core import visitors
from sae_core.config import RunConfig, Runtime, public
from sae_core.errors import Cancelled, InputError
from sae_core.interpret.vision.secrets import OPENROUTER_VARIABLE, OWN_VARIABLE, Secret
from sae_core.progress import Event
from sae_core.runs import runs
from sae_core.store import Store, canonical, is_id, write_atomic

State = Literal["queued", "running", "cancelled", "failed", "interrupted", "done"]
ACTIVE = ("queued", "running")
BEAT_SECONDS = 1.0
STALE_SECONDS = 15.0
START_SECONDS = 90.0
"""How long a worker may take to its first heartbeat: a slow disk imports torch in that time."""
GRACE_SECONDS = 30.0
"""How long after its time is over a stranger's job may take to stop by itself."""


@dataclass(frozen=True)
class Job:
    """A job as it stands now; every number is what the worker last wrote."""

    id: str
    folder: Path
    state: State
    stage: str
    step: int
    total: int
    metrics: Mapping[str, float]
    started: float
    heartbeat: float
    command: str
    error: str
    run_id: str

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the last heartbeat."""
        return max(0.0, self.heartbeat - self.started)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the worker's log."""
        file = self.folder / "log.txt"
        return "\n".join(file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if file.is_file() else ""

    def events(self, stage: str | None = None) -> list[dict[str, Any]]:
        """Every event so far (of one stage); a line cut by a kill is passed over."""
        file = self.folder / "events.jsonl"
        found = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if stage is None or event["stage"] == stage:
                found.append(event)
        return found


def job_id(command: str, config: RunConfig) -> str:
    """The id of a job: the command and the whole config, local paths included."""
    digest = hashlib.sha256(canonical([command, config.model_dump(mode="json")])).hexdigest()
    return f"job-{digest[:16]}"


def start(command: str, config: RunConfig, store: Store, runtime: Runtime = Runtime(), *, key: Secret | None = None) -> Job:
    """Start `python -m sae_core <command>` on this config, detached; attach when the same work is already running.

    Args:
        command: a stage's command, or `run`.
        config: of the run.
        store: where it works.
        runtime: device.
        key: the API key of a vision model. The worker gets this one and no other: the keys in this process's own environment are
            its owner's, who may not be the one who starts the job.

    Raises: InputError in a public app: for a configuration above its limits, a store that everyone shares, or while another
        visitor's job is at work.
    """
    identity = job_id(command, config)
    if not public.is_public():
        return _start(identity, command, config, store, runtime, key)
    if not visitors.is_own(store):
        public.refused("a job in the shared cache", command)
        raise InputError("what everyone sees here cannot be changed; a visitor's job works in a cache of their own")
    try:
        public.check(config, [run.config for run in runs(store.base)] if store.base is not None else [])
    except InputError as error:
        public.refused("a job", error)
        raise
    with visitors.slot(store.root, identity, may_be_at_work):
        return _start(identity, command, config, store, runtime, key)


def _start(identity: str, command: str, config: RunConfig, store: Store, runtime: Runtime, key: Secret | None) -> Job:
    store.prepare()
    folder = _folder(store, identity)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder / ".lock")):
        if (folder / "status.json").is_file():
            job = read(store, identity)
            if job.active:
                return job
        for leftover in ("stop", "events.jsonl"):
            (folder / leftover).unlink(missing_ok=True)
        write_atomic(folder / "config.json", json.dumps(config.model_dump(mode="json"), indent=2).encode())
        now = time.time()
        # Before the worker is there, so that nothing it writes is written over; it puts its own pid in.
        status = {"state": "queued", "command": command, "pid": None, "started": now, "heartbeat": now}
        write_atomic(folder / "status.json", json.dumps(status).encode())
        argv = [sys.executable, "-m", "sae_core", command, "--config", str(folder / "config.json")]
        argv += ["--cache", str(store.root.absolute()), "--device", runtime.device, "--job", str(folder), "--json"]
        with (folder / "log.txt").open("wb") as log, (folder / "result.json").open("wb") as result:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=result,
                stderr=log,
                start_new_session=True,
                env=_environment(key),
            )
        _reap(process)
    return read(store, identity)


def _environment(key: Secret | None) -> dict[str, str]:
    # The key goes by the child's environment alone: an argument is in everybody's process list, and config, status, events and
    # log are files. Nothing of the worker writes its environment down.
    kept = {name: value for name, value in os.environ.items() if name not in (OWN_VARIABLE, OPENROUTER_VARIABLE)}
    if public.is_public():
        # Strangers' jobs get none of the owner's secrets: with a token of the Hub's they could read its private data sets.
        kept = {name: value for name, value in kept.items() if not _SECRET.search(name)}
    own = {} if key is None else {OWN_VARIABLE: key.reveal()}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *_python_path()]), **own}


_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
"""What the name of an environment variable has in it where its value is nobody else's."""


def _python_path() -> list[str]:
    # The worker must find sae_core from a checkout too, whatever folder the app was started in.
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _reap(process: subprocess.Popen[bytes]) -> None:
    # A finished child stays a zombie until its parent asks; nobody else in this process would.
    waiting = (lambda: _end(process)) if public.is_public() else process.wait
    threading.Thread(target=waiting, daemon=True).start()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a stranger's job, and end it where it does not end itself soon after its time is over."""
    try:
        process.wait(public.LIMITS.job_seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        public.refused("a job more time", process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop(store: Store, identity: str) -> None:
    """Ask a job to stop at its next event; what it finished is kept."""
    read(store, identity)
    (_folder(store, identity) / "stop").touch()


def read(store: Store, identity: str) -> Job:
    """The job of this id. A worker that vanished or went silent is `interrupted`; starting it again resumes."""
    folder = _folder(store, identity)
    if not (folder / "status.json").is_file():
        raise InputError(f"no job {identity} in {store.root}")
    status = _status(folder)
    state: State = status["state"]
    patience = START_SECONDS if status["pid"] is None else STALE_SECONDS
    silent = time.time() - status["heartbeat"] > patience
    if state in ACTIVE and (silent or not _alive(status["pid"], status["started"])):
        # It may have finished between the two looks: read once more before calling it lost.
        status = _status(folder)
        state = "interrupted" if status["state"] in ACTIVE else status["state"]
    return Job(
        id=identity,
        folder=folder,
        state=state,
        stage=status.get("stage", ""),
        step=status.get("step", 0),
        total=status.get("total", 0),
        metrics=status.get("metrics", {}),
        started=status["started"],
        heartbeat=status["heartbeat"],
        command=status["command"],
        error=status.get("error", ""),
        run_id=status.get("run_id", ""),
    )


def may_be_at_work(cache: Path, identity: str) -> bool:
    """Whether a job's process may still be there; unlike `read` it does not give up on one that is silent but alive."""
    if not is_id(identity, "job") or not (cache / ".jobs" / identity / "status.json").is_file():
        return False
    status = _status(cache / ".jobs" / identity)
    if status["state"] not in ACTIVE:
        return False
    return (
        time.time() - status["heartbeat"] < START_SECONDS if status["pid"] is None else _alive(status["pid"], status["started"])
    )


def all_jobs(store: Store) -> list[Job]:
    """Every job, the latest first."""
    files = store.root.glob(".jobs/job-*/status.json")
    found = [read(store, file.parent.name) for file in files if is_id(file.parent.name, "job")]
    return sorted(found, key=lambda job: job.started, reverse=True)


def job_config(store: Store, identity: str) -> dict[str, Any]:
    """The configuration a job was started with, as plain values."""
    content: dict[str, Any] = json.loads((_folder(store, identity) / "config.json").read_text(encoding="utf-8"))
    return content


def _folder(store: Store, identity: str) -> Path:
    if not is_id(identity, "job"):
        raise InputError(f"{identity[:40]!r} is no job id")
    return (store.root / ".jobs" / identity).absolute()


def _status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    return content


def _alive(pid: int | None, started: float) -> bool:
    if pid is None:
        return True  # the worker has not said a word yet; its heartbeat will tell
    try:
        process = psutil.Process(pid)
        # A recycled pid belongs to a process that began later than the job's status was written.
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < started + 60
    except psutil.Error:
        return False


# ---------------------------------------------------------------- the worker's side


class Worker:
    """Writes a job's events and status from inside the worker process, and turns its stop file into `Cancelled`."""

    def __init__(self, folder: Path, command: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        now = time.time()
        self._status: dict[str, Any] = {"state": "running", "command": command, "pid": os.getpid(), "started": now}
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8")
        self._written = 0.0
        self._end = threading.Event()
        self._until = time.monotonic() + public.LIMITS.job_seconds if public.is_public() else None

    def __call__(self, event: Event) -> None:
        self._events.write(event.to_json() + "\n")
        self._events.flush()
        with self._lock:
            self._status |= {
                "stage": event.stage,
                "step": event.step,
                "total": event.total,
                "metrics": dict(event.metrics),
            }
        if time.monotonic() - self._written > 0.25:
            self._write()
        if (self._folder / "stop").exists():
            raise Cancelled("stopped by the user; what was finished is kept, start it again to resume")
        if self._until is not None and time.monotonic() > self._until:
            minutes = f"{public.LIMITS.job_seconds / 60:.0f} minutes"
            raise Cancelled(f"stopped after {minutes}, the most that this public app gives a job; resuming goes on from there")

    def _write(self, **changes: Any) -> None:
        with self._lock:
            self._status |= {**changes, "heartbeat": time.time()}
            write_atomic(self._folder / "status.json", json.dumps(self._status).encode())
            self._written = time.monotonic()

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            self._write()

    @contextmanager
    def working(self) -> Iterator[Worker]:
        """Beats while the block runs, and leaves the state it ended in."""
        self._write()
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        ended: dict[str, Any] = {"state": "failed", "error": "the worker ended without a word"}
        try:
            yield self
            ended = {"state": "done", "error": ""}
        except (Cancelled, KeyboardInterrupt) as error:
            ended = {"state": "cancelled", "error": str(error)}
            raise
        except BaseException as error:
            ended = {"state": "failed", "error": str(error) or type(error).__name__}
            raise
        finally:
            self._end.set()
            beat.join()
            self._write(**ended)
            self._events.close()

    def note(self, **facts: Any) -> None:
        """Add facts, such as the run's id, to the status."""
        self._write(**facts)
