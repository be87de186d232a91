"""Starting a written Space as its container would: another user, a read-only folder, the command of its Dockerfile."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

UID = 1000
AS_USER = [
    *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs"),
    # This machine's Python may lie in a folder of root's, which the image's does not: to read it is allowed, to write nothing.
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]


@dataclass(frozen=True)
class Container:
    """A Space laid out as in its image: the app nobody may write, a home that its user owns."""

    app: Path
    home: Path

    @contextmanager
    def running(self, **environment: str) -> Iterator[str]:
        """The address of the app; ended when the block is left."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        swap = {"7860": str(port), "0.0.0.0": "127.0.0.1"}
        command = [re.sub("|".join(map(re.escape, swap)), lambda found: swap[found.group()], word) for word in self.command()]
        command = [sys.executable if word == "python" else word for word in command]
        # A container has none of this process's environment but where its programs are.
        known = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **self.environment(), "HOME": str(self.home), **environment}
        with (self.home / "server.log").open("ab") as log:
            process = subprocess.Popen([*AS_USER, *command], cwd=self.app, env=known, stdout=log, stderr=log)
            try:
                self._wait(port, process)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(timeout=60)

    def log(self) -> str:
        """What the server wrote so far."""
        return (self.home / "server.log").read_text(encoding="utf-8", errors="replace")

    def command(self) -> list[str]:
        """The Dockerfile's CMD."""
        found = re.findall(r"^CMD (\[.*\])$", (self.app / "Dockerfile").read_text(encoding="utf-8"), re.M)
        return [str(word) for word in json.loads(found[-1])]

    def environment(self) -> dict[str, str]:
        """The Dockerfile's ENV."""
        return dict(re.findall(r"^ENV (\w+)=(.*)$", (self.app / "Dockerfile").read_text(encoding="utf-8"), re.M))

    def _wait(self, port: int, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end and process.poll() is None:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                line.request("GET", "/_stcore/health")
                if line.getresponse().status == http.client.OK:
                    return
            except OSError:
                time.sleep(0.3)
            finally:
                line.close()
        pytest.fail(f"the Space did not answer: {self.log()[-2000:]}")


@contextmanager
def container(bundle: Path) -> Iterator[Container]:
    """Lay a bundle out where user 1000 can read it and write nothing of it. Skips where this is not root."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("starting the Space as another user takes root and setpriv")
    place = Path(tempfile.mkdtemp(prefix="space-"))
    try:
        place.chmod(0o755)
        app, home = place / "app", place / "home"
        shutil.copytree(bundle, app)
        home.mkdir()
        os.chown(home, UID, UID)
        subprocess.run(["chmod", "-R", "a-w,a+rX", str(app)], check=True)
        yield Container(app, home)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=False)
        shutil.rmtree(place)
