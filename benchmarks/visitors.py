"""Thirty strangers at once: page interactions of a public app under load, its errors and its memory.

    python -m benchmarks.visitors                # 30 visitors for two minutes on the demo run of cache/

A visitor is a WebSocket session of its own that speaks Streamlit's protocol (protobuf) as its page does in a browser: it opens
pages by their address, searches, turns pages, opens latents, and thinks in between. A time is from the message sent to the end of
the script, in one process with one thread beside the server; what a browser takes to paint comes on top (`benchmarks.browser`).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import sae_core as sc
from benchmarks import tables
from benchmarks.browser import made
from benchmarks.chromium import Server, serving
from benchmarks.workers import ROOT

VISITORS, SECONDS, THINK = 30, 120.0, 8.0
LIMIT = 60.0
"""Seconds after which an interaction counts as an error."""
PAGES = ("", "gallery", "latent", "zero_shot", "geometry", "draw", "interpret", "steer", "train", "publish")
WORDS = ("line", "spiral", "fish", "a drawing of a house", "parallel lines", "circle")


@dataclass
class Visit:
    """What the visitors met: seconds of every interaction by kind, errors as text, bytes received."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    received: int = 0

    def all(self) -> list[float]:
        return [one for found in self.seconds.values() for one in found]


class Client:
    """One visitor: a WebSocket session, and what its page looks like now."""

    def __init__(self, socket: Any, visit: Visit) -> None:
        self._socket, self._visit = socket, visit
        self._page, self._query, self._hash = "", "", ""
        self._texts: dict[str, str] = {}

    async def open(self, page: str, query: dict[str, str]) -> None:
        """Come to a page by its address."""
        self._page, self._query, self._hash, self._texts = page, urlencode(query), "", {}
        await self._interact(f"{page or 'overview'} opened", {})

    async def search(self, words: str) -> None:
        """Type into the gallery's search, if the page has it."""
        field = next((one for one in self._texts if one.endswith("gallery-search")), None)
        if field is not None:
            await self._interact("gallery searched", {field: words})

    async def _interact(self, kind: str, texts: dict[str, str]) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = "" if self._hash else self._page
        message.rerun_script.page_script_hash = self._hash
        for name, value in texts.items():
            message.rerun_script.widget_states.widgets.add(id=name, string_value=value)
        start = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        try:
            async with asyncio.timeout(LIMIT):
                await self._until_done(kind)
        except TimeoutError:
            self._visit.errors.append(f"{kind}: no end within {LIMIT:.0f} s")
            return
        self._visit.seconds.setdefault(kind, []).append(time.perf_counter() - start)

    async def _until_done(self, kind: str) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            data = await self._socket.recv()
            self._visit.received += len(data)
            message = ForwardMsg.FromString(data)
            match message.WhichOneof("type"):
                case "new_session":
                    self._hash = message.new_session.page_script_hash
                case "page_not_found":
                    self._visit.errors.append(f"{kind}: page not found")
                case "page_info_changed":
                    self._query = message.page_info_changed.query_string
                case "delta":
                    self._look(message.delta.new_element, kind)
                case "script_finished":
                    if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                        self._visit.errors.append(f"{kind}: the page does not compile")
                    if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                        return

    def _look(self, element: Any, kind: str) -> None:
        from streamlit.proto.Alert_pb2 import Alert

        match element.WhichOneof("type"):
            case "exception":
                self._visit.errors.append(f"{kind}: {element.exception.type}")
            case "alert" if element.alert.format == Alert.ERROR:
                self._visit.errors.append(f"{kind}: {element.alert.body[:200]}")
            case "text_input":
                self._texts[element.text_input.id] = ""


def steps(rng: random.Random, run_id: str, latents: Sequence[int]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a visitor goes next, without end: mostly the gallery and latents, sometimes every other page."""
    while True:
        chance = rng.random()
        if chance < 0.3:
            yield "latent", {"run": run_id, "latent": str(rng.choice(latents))}
        elif chance < 0.5:
            yield "gallery", {"run": run_id, "page": str(rng.randint(1, 3))}
        else:
            yield rng.choice(PAGES), {"run": run_id}


async def visitor(
    url: str, visit: Visit, rng: random.Random, run_id: str, latents: Sequence[int], think: float, end: float
) -> None:
    """Browse until `end` (of time.monotonic); what goes wrong with the connection is an error too."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException
    from websockets.typing import Subprotocol

    await asyncio.sleep(rng.uniform(0, min(think, end - time.monotonic())))
    address = f"ws://{urlsplit(url).netloc}/_stcore/stream"
    try:
        async with connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None) as socket:
            client = Client(socket, visit)
            for page, query in steps(rng, run_id, latents):
                await client.open(page, query)
                if page == "gallery" and rng.random() < 0.3:
                    await client.search(rng.choice(WORDS))
                wait = rng.expovariate(1 / think)
                if time.monotonic() + wait > end:
                    return
                await asyncio.sleep(wait)
    except (OSError, WebSocketException) as error:
        visit.errors.append(f"connection: {type(error).__name__} {error}")


async def tour(url: str, visit: Visit, run_id: str, latents: Sequence[int]) -> None:
    """One visitor on every page once: models are loaded and caches filled, as they are for all but the first."""
    from websockets.asyncio.client import connect
    from websockets.typing import Subprotocol

    address = f"ws://{urlsplit(url).netloc}/_stcore/stream"
    async with connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None) as socket:
        client = Client(socket, visit)
        for page in PAGES:
            await client.open(page, {"run": run_id, **({"latent": str(latents[0])} if page == "latent" else {})})
            await client.search(WORDS[0])


async def sampled(server: Server, found: list[float], every: float = 5.0) -> None:
    """The server's memory in MiB, again and again until cancelled."""
    while True:
        found.append(server.memory())
        await asyncio.sleep(every)


async def crowd(
    server: Server, run_id: str, latents: Sequence[int], visitors: int, seconds: float, think: float, seed: int
) -> tuple[Visit, list[float]]:
    """Let them all browse; what they met, and the server's memory from begin to end."""
    await tour(server.url, Visit(), run_id, latents)
    visit, memory = Visit(), list[float]()
    watch = asyncio.create_task(sampled(server, memory))
    end = time.monotonic() + seconds
    rngs = [random.Random(f"{seed} {number}") for number in range(visitors)]  # noqa: S311
    await asyncio.gather(*(visitor(server.url, visit, rng, run_id, latents, think, end) for rng in rngs))
    watch.cancel()
    memory.append(server.memory())
    return visit, memory


def p95(values: Sequence[float]) -> float:
    """The value that 95 % do not exceed (the nearest rank)."""
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def table(visit: Visit, memory: Sequence[float], visitors: int, seconds: float) -> str:
    """Kinds of interaction by row, then all of them; the memory below."""
    rows = [
        [kind, f"{len(found):,}", f"{statistics.median(found):.2f}", f"{p95(found):.2f}", f"{max(found):.2f}"]
        for kind, found in sorted(visit.seconds.items())
    ]
    found = visit.all()
    if not found:
        raise sc.InputError(f"nobody got through: {'; '.join(visit.errors[:3]) or 'the time is too short'}")
    rows.append(["**all**", f"{len(found):,}", f"{statistics.median(found):.2f}", f"**{p95(found):.2f}**", f"{max(found):.2f}"])
    text = tables.table(["interaction", "n", "median, s", "p95, s", "worst, s"], rows)
    half = memory[len(memory) // 2]
    return "\n\n".join(
        (
            f"**{visitors} visitors of a public app for {seconds:.0f} s.** Errors: {len(visit.errors)}.",
            text,
            f"The server's memory, MiB: {memory[0]:.0f} at the start, {half:.0f} at half time, {memory[-1]:.0f} at the end, "
            f"{max(memory):.0f} at most. {visit.received / 1000 / len(found):.1f} kB an interaction came through the WebSocket.",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.visitors", description=__doc__)
    parser.add_argument("--visitors", type=int, default=VISITORS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--think", type=float, default=THINK, help="mean seconds between two interactions of a visitor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--readme", type=Path, default=tables.README)
    options = parser.parse_args()
    if not 1 <= options.visitors <= 200 or not 1 <= options.seconds <= 3600 or options.think <= 0:
        raise sc.InputError("give 1 to 200 visitors, 1 to 3600 seconds, and a time to think above 0")
    run = made(sc.load_config(ROOT / "configs" / "demo.yaml"), sc.Store(options.cache), "interpret", "steer", "evaluate")
    latents = [int(one) for one in run.load("collect").strongest(48)]
    with tempfile.TemporaryDirectory() as folder:
        known = {"SAE_LAB_PUBLIC": "1", "SAE_LAB_VISITORS": str(Path(folder) / "visitors")}
        with serving(options.cache, Path(folder) / "server.log", script=ROOT / "serve.py", **known) as server:
            visit, memory = asyncio.run(
                crowd(server, run.id, latents, options.visitors, options.seconds, options.think, options.seed)
            )
    note = (
        f"A visitor thinks {options.think:g} s on average between two interactions (exponential, seed {options.seed}). Light "
        "clients that speak Streamlit's protocol over a WebSocket each, in one process beside the server on the same machine; a "
        "first visitor who opened every page is not counted."
    )
    errors = [f"Errors: {'; '.join(visit.errors[:10])}"] if visit.errors else []
    versions = {name: version(name) for name in ("streamlit", "uvicorn", "torch")}
    text = table(visit, memory, options.visitors, options.seconds)
    text = f"{text}\n\n{tables.foot(versions, [note, *errors], 'benchmarks.visitors')}"
    print(text)
    tables.write("visitors", text, options.readme)
    return 1 if visit.errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
