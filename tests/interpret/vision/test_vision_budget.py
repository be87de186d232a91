"""Money: estimates in closed form, a cap that no order of replies passes, and what is learnt from them."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.errors import InputError
from sae_core.interpret.vision.budget import FREE, IMAGE_TOKENS, Budget, Price, Size, estimate
from tests.interpret.vision.asking import PRICE, question

SIZE = Size(characters=900, images=4, max_tokens=500)
MOST = (900 / 2.5 + 60 + 4 * 1600) * 1e-6 + 500 * 4e-6


def test_an_estimate_is_its_closed_form_and_adds_up() -> None:
    low, high = estimate({SIZE: 1}, PRICE)
    assert high == pytest.approx(MOST)
    assert low == pytest.approx((900 / 4.5 + 4 * 85) * 1e-6 + 60 * 4e-6)
    assert estimate({SIZE: 7}, PRICE) == pytest.approx((7 * low, 7 * high))
    dear = Price(1e-6, 4e-6, image=0.01, request=0.1)
    assert estimate({SIZE: 1}, dear) == pytest.approx((low + 0.14, high + 0.14))
    assert estimate({SIZE: 5}, FREE) == (0.0, 0.0)


def test_a_size_counts_texts_schema_and_pictures() -> None:
    size = Size.of(question(image=b"x" * 10_000))
    assert (size.images, size.max_tokens) == (1, 500)
    assert len("You name pictures.what is this? 0") < size.characters < 400
    assert Size.of(question(text="é" * 10)).characters == Size.of(question(text="e" * 20)).characters
    assert Counter([size, Size.of(question())])[size] == 2


@pytest.mark.parametrize("cap", [-0.01, float("nan"), float("inf")])
def test_a_cap_is_an_amount(cap: float) -> None:
    with pytest.raises(InputError, match="no amount of money"):
        Budget(cap, PRICE)


def test_an_unknown_price_needs_permission() -> None:
    with pytest.raises(InputError, match="price of this model is not known"):
        Budget(1.0, None)
    budget = Budget(0.05, None, allow_unknown=True)
    assert budget.estimate({SIZE: 1}) is None
    spent = 0
    while (reserved := budget.reserve(SIZE)) is not None:
        budget.settle(reserved, SIZE, 0, 0, 0.02)  # the endpoint bills what it did not list
        spent += 1
    assert (spent, budget.spent) == (2, 0.04)


def test_a_reservation_is_given_back_or_booked() -> None:
    budget = Budget(1.0, PRICE)
    first = budget.reserve(SIZE)
    assert first == pytest.approx(MOST) == pytest.approx(budget.reserved)
    budget.release(first)
    assert (budget.reserved, budget.spent) == (0.0, 0.0)
    second = budget.reserve(SIZE)
    assert second is not None
    assert budget.settle(second, SIZE, 1000, 100, None) == pytest.approx(1000e-6 + 100 * 4e-6) == pytest.approx(budget.spent)
    third = budget.reserve(SIZE)
    assert third is not None
    assert budget.lose(third) == budget.presumed == third


def test_a_bill_goes_before_the_list_and_no_count_counts_in_full() -> None:
    budget = Budget(1.0, PRICE)
    reserved = budget.reserve(SIZE)
    assert reserved is not None
    assert budget.settle(reserved, SIZE, 1000, 100, 0.0015) == 0.0015
    reserved = budget.reserve(SIZE)
    assert reserved is not None
    assert budget.settle(reserved, SIZE, 0, 0, None) == reserved


def test_three_replies_lower_the_bound_and_one_dear_reply_raises_it_at_once() -> None:
    budget = Budget(1.0, PRICE)
    for n in range(3):
        reserved = budget.reserve(SIZE)
        assert reserved == pytest.approx(MOST), n
        budget.settle(reserved, SIZE, 200 + 4 * 100, 50, None)  # 100 tokens a picture beside 900 / 4.5 of text
    calm = (900 / 2.5 + 60 + 4 * 110) * 1e-6 + 500 * 4e-6
    reserved = budget.reserve(SIZE)
    assert reserved == pytest.approx(calm)
    assert budget.estimate({SIZE: 1}) == pytest.approx(
        ((200 + 400) * 1e-6 + 60 * 4e-6, (900 / 2.5 + 60 + 400) * 1e-6 + 500 * 4e-6)
    )
    budget.settle(reserved, SIZE, 200 + 4 * 8500, 50, None)
    assert budget.reserve(SIZE) == pytest.approx((900 / 2.5 + 60 + 4 * 8500 * 1.1) * 1e-6 + 500 * 4e-6)


def test_an_endpoint_that_bills_more_than_its_list_is_believed_at_once() -> None:
    budget = Budget(1.0, PRICE)
    reserved = budget.reserve(SIZE)
    assert reserved is not None
    budget.settle(reserved, SIZE, 600, 50, 3 * (600e-6 + 50 * 4e-6))
    assert budget.reserve(SIZE) == pytest.approx(3 * 1.1 * MOST)


def test_the_second_request_waits_until_the_first_has_shown_what_one_costs() -> None:
    budget = Budget(1.0, PRICE)
    first = budget.reserve(SIZE)
    assert first is not None
    through = threading.Event()
    other = threading.Thread(target=lambda: (budget.reserve(SIZE), through.set()))
    other.start()
    assert not through.wait(0.1)
    budget.settle(first, SIZE, 600, 50, None)
    assert through.wait(5)
    other.join()


def test_what_does_not_fit_waits_for_what_is_under_way_and_is_refused_when_nothing_is() -> None:
    budget = Budget(2.5 * MOST, PRICE)
    for _ in range(1):
        reserved = budget.reserve(SIZE)
        assert reserved is not None
        budget.settle(reserved, SIZE, 200 + 4 * 1400, 500, None)
    held = budget.reserve(SIZE)
    assert held is not None
    got: list[float | None] = []
    other = threading.Thread(target=lambda: got.append(budget.reserve(SIZE)))
    other.start()
    other.join(0.1)
    assert got == []  # it waits
    budget.release(held)
    other.join(5)
    assert got == [pytest.approx(MOST)]
    budget.lose(MOST)
    assert budget.reserve(SIZE) is None


@given(
    st.lists(st.tuples(st.sampled_from(["settle", "lose", "release"]), st.integers(0, 1600), st.integers(0, 500)), max_size=60),
    st.floats(0, 0.05),
)
def test_the_cap_holds_whatever_replies_come(replies: list[tuple[str, int, int]], cap: float) -> None:
    budget = Budget(cap, PRICE)
    for what, image_tokens, tokens_out in replies:
        before = budget.spent
        reserved = budget.reserve(SIZE)
        if reserved is None:
            assert budget.reserved == 0.0
            continue
        assert before + reserved <= cap + 1e-9
        # A picture that takes up to what is feared, and no more than the reservation's tenth above what was seen.
        bound = (reserved - (900 / 2.5 + 60) * 1e-6 - 500 * 4e-6) / 4e-6
        tokens_in = 200 + 4 * min(image_tokens, int(bound))
        if what == "settle":
            budget.settle(reserved, SIZE, tokens_in, tokens_out, None)
        elif what == "lose":
            budget.lose(reserved)
        else:
            budget.release(reserved)
        assert budget.spent <= cap + 1e-9
        assert budget.reserved == 0.0
    assert IMAGE_TOKENS == (85, 1600)
