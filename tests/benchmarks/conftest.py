"""What the benchmarks' workers change in their own process must not stay changed in the tests'."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A worker sets the number of threads for good; other tests promise equal bits for equal numbers of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
