"""The load of many visitors: what is drawn, counted and written; and a client against messages as Streamlit sends them."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

import sae_core as sc
from benchmarks import visitors
from benchmarks.visitors import Client, Visit


@pytest.mark.parametrize(("values", "found"), [([3.0], 3.0), ([*range(1, 101)], 95), ([*range(1, 21)], 19), ([1, 2, 3], 3)])
def test_p95_is_the_nearest_rank(values: list[float], found: float) -> None:
    assert visitors.p95(values[::-1]) == found


def test_a_visitor_goes_everywhere_and_the_same_way_each_time() -> None:
    def drawn() -> list[tuple[str, dict[str, str]]]:
        return list(itertools.islice(visitors.steps(random.Random(1), "run-0123456789abcdef", [3, 5]), 400))

    assert drawn() == drawn()
    assert {page for page, _ in drawn()} == set(visitors.PAGES)
    assert {query["latent"] for page, query in drawn() if "latent" in query} == {"3", "5"}
    assert all(query["run"] == "run-0123456789abcdef" for _, query in drawn())


def test_the_table_has_every_kind_and_all_of_them() -> None:
    visit = Visit({"gallery opened": [1.0, 2.0], "latent opened": [4.0]}, ["latent opened: broken"], 9000)
    text = visitors.table(visit, [100.0, 150.0, 120.0], 30, 120.0)
    assert "Errors: 1." in text
    assert "| gallery opened | 2 | 1.50 | 2.00 | 2.00 |" in text
    assert "| **all** | 3 | 2.00 | **4.00** | 4.00 |" in text
    assert "100 at the start, 150 at half time, 120 at the end, 150 at most. 3.0 kB an interaction" in text


def test_nobody_getting_through_is_no_table() -> None:
    with pytest.raises(sc.InputError, match="connection refused"):
        visitors.table(Visit(errors=["connection refused"]), [1.0], 1, 1.0)


class Socket:
    """Answers every message with these."""

    def __init__(self, *answers: ForwardMsg) -> None:
        self.sent: list[BackMsg] = []
        self._answers = list(answers)

    async def send(self, data: bytes) -> None:
        self.sent.append(BackMsg.FromString(data))

    async def recv(self) -> bytes:
        return bytes(self._answers.pop(0).SerializeToString())


def finished(status: int = ForwardMsg.FINISHED_SUCCESSFULLY) -> ForwardMsg:
    return ForwardMsg(script_finished=status)


def test_a_client_waits_through_a_rerun_and_sees_errors_and_fields() -> None:
    begun, field, alert, fault = ForwardMsg(), ForwardMsg(), ForwardMsg(), ForwardMsg()
    begun.new_session.page_script_hash = "hash of the page"
    field.delta.new_element.text_input.id = "$$ID-0-gallery-search"
    alert.delta.new_element.alert.body, alert.delta.new_element.alert.format = "it is broken", Alert.ERROR
    fault.delta.new_element.exception.type = "RuntimeError"
    again = finished(ForwardMsg.FINISHED_EARLY_FOR_RERUN)
    socket, visit = Socket(begun, again, begun, field, alert, fault, finished(), finished()), Visit()
    client = Client(socket, visit)

    async def both() -> None:
        await client.open("gallery", {"run": "x"})
        await client.search("spiral")

    asyncio.run(both())
    assert visit.errors == ["gallery opened: it is broken", "gallery opened: RuntimeError"]
    assert {kind: len(found) for kind, found in visit.seconds.items()} == {"gallery opened": 1, "gallery searched": 1}
    first, second = (message.rerun_script for message in socket.sent)
    assert (first.page_name, first.query_string) == ("gallery", "run=x")
    assert second.page_script_hash == "hash of the page"
    (widget,) = second.widget_states.widgets
    assert (widget.id, widget.string_value) == ("$$ID-0-gallery-search", "spiral")


def test_a_page_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Socket):
        async def recv(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets the event")

    monkeypatch.setattr(visitors, "LIMIT", 0.01)
    visit = Visit()
    asyncio.run(Client(Silent(), visit).open("gallery", {}))
    assert visit.seconds == {}
    assert "no end within" in visit.errors[0]
