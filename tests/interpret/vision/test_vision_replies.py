"""Reading what a server sent: nothing it may send raises, and nothing that does not fit its form gets through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.interpret.vision.prompts import DETECT_FORM, EXPLAIN_FORM, INTRUDER_FORM
from sae_core.interpret.vision.reply import Reply, Trouble, Usage, conform, read, retry_after
from sae_core.interpret.vision.schema import fault
from sae_core.interpret.vision.secrets import Secret
from tests.interpret.vision.asking import CANARY, FORM, GOOD

SOMETHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARTS = [
    "error",
    "choices",
    "usage",
    "model",
    "provider",
    "message",
    "content",
    "finish_reason",
    "code",
    "cost",
    "metadata",
    "raw",
]
LIKELY = st.recursive(
    SOMETHING,
    lambda inner: st.dictionaries(st.sampled_from(PARTS), inner, max_size=6) | st.lists(inner, max_size=2),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(PARTS), LIKELY, max_size=6))
def test_whatever_stands_in_a_body_is_a_reply_or_a_trouble(body: dict[str, Any]) -> None:
    found = read(json.dumps(body).encode())
    assert isinstance(found, (Reply, Trouble))
    assert found.usage.cost is None or found.usage.cost >= 0
    if isinstance(found, Reply):
        assert isinstance(conform(found.text, FORM), (dict, Trouble))


@given(st.binary(max_size=100))
def test_whatever_bytes_come_are_read(body: bytes) -> None:
    assert isinstance(read(body), Trouble)


def test_the_error_is_seen_before_the_choices_and_its_bill_is_kept() -> None:
    choice = {"message": {"content": "{}"}, "finish_reason": "stop"}
    body = {"error": {"code": 502, "message": "down", "metadata": {"raw": "overloaded"}}, "choices": [choice]}
    found = read(json.dumps({**body, "usage": {"prompt_tokens": 5, "cost": 0.25}}).encode())
    assert isinstance(found, Trouble)
    assert (found.kind, found.retry, found.usage) == ("error_in_200", True, Usage(5, 0, 0.25))
    assert "down: overloaded" in found.message


@pytest.mark.parametrize("cost", ["0.1", True, -1, None, [], 1e300])
def test_a_bill_that_is_no_amount_is_none(cost: object) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1.5, "completion_tokens": True, "cost": cost}}
    found = read(json.dumps(body).encode())
    assert found.usage == Usage(0, 0, None)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"\n {json.dumps(GOOD)} ",
        f"```json\n{json.dumps(GOOD)}\n```",
        f"```\n{json.dumps(GOOD)}```",
        f"<think>\nlines, {{surely}}\n</think>\n{json.dumps(GOOD)}",
        '{"label": "parallel\\n\\u0007 lines", "confidence": 80.0}',
        '{"label": "parallel\\ud800\\u202e lines", "confidence": 80}',
    ],
)
def test_what_fits_is_taken_and_cleaned(text: str) -> None:
    found = conform(text, FORM)
    assert found == GOOD
    assert isinstance(found["confidence"], int)


def test_a_key_in_a_reply_does_not_get_through() -> None:
    found = conform(json.dumps({"label": f"lines {CANARY}", "confidence": 1}), FORM, Secret(CANARY))
    assert found == {"label": "lines [key removed]", "confidence": 1}


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (5, {"type": "string"}, "reply is integer, not string"),
        (True, {"type": "integer"}, "reply is boolean, not integer"),
        (None, {"type": ["string", "boolean"]}, "reply is null, not string or boolean"),
        ({"a": 1}, {"type": "object", "required": ["b"]}, "reply lacks b"),
        ({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": False}, "reply has 'a', which is not asked for"),
        ({"a": [1, "x"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, "reply.a[1] is string, not integer"),
        ([1, 2], {"type": "array", "maxItems": 1}, "reply has 2 items, not 0 to 1"),
        ([], {"type": "array", "minItems": 1}, "reply has 0 items, not 1 to any number"),
        (101, {"type": "integer", "maximum": 100}, "reply is 101, above 100"),
        (-1, {"type": "integer", "minimum": 0}, "reply is -1, below 0"),
        ("abc", {"type": "string", "maxLength": 2}, "reply is longer than 2 characters"),
        ("", {"type": "string", "minLength": 1}, "reply is shorter than 1 characters"),
        ("c", {"enum": ["a", "b"]}, "reply is 'c', not one of 'a', 'b'"),
        (True, {"enum": [1]}, "reply is 'True', not one of 1"),
    ],
)
def test_the_first_fault_is_named(value: Any, schema: dict[str, Any], said: str) -> None:
    assert fault(value, schema) == said


@pytest.mark.parametrize("value", [3.0, 3])
def test_a_whole_number_is_an_integer(value: float) -> None:
    assert fault(value, {"type": "integer", "minimum": 3, "maximum": 3}) is None


def test_a_keyword_that_is_not_checked_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="pattern"):
        fault("a", {"type": "string", "pattern": "b"})


def sample(schema: dict[str, Any]) -> Any:
    """The least value that fits a form."""
    if schema["type"] == "object":
        return {name: sample(inner) for name, inner in schema["properties"].items()}
    if schema["type"] == "array":
        return [sample(schema["items"])]
    return {"string": "", "integer": 0, "boolean": False, "number": 0}[schema["type"]]


@pytest.mark.parametrize("form", [EXPLAIN_FORM, DETECT_FORM, INTRUDER_FORM])
def test_the_forms_in_use_are_checked_whole(form: dict[str, Any]) -> None:
    whole = sample(form)
    assert fault(whole, form) is None
    for name in whole:
        assert fault({key: value for key, value in whole.items() if key != name}, form) == f"reply lacks {name}"
    assert fault({**whole, "tool": 1}, form) is not None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-2", 0.0),
        ("inf", float("inf")),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds
