"""A connection to the Hub whose every call is tried again within bounds, and whose every error is one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sae_core.errors import InputError, SaeLabError
from sae_core.interpret.vision.secrets import Secret
from sae_core.sae.formats.hub import LONGEST_WAIT, TRANSIENT, bound_waits, refusal, retry_after, status_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
CONFLICTS = (409, 412)
"""Answers that another writer causes; a commit is then made anew from what is there."""


@dataclass(frozen=True)
class Patience:
    """How often a call is tried, and how long is waited: 1, 2, 4, ... seconds, or as the Hub says, never above a minute."""

    attempts: int = 5
    sleep: Callable[[float], None] = time.sleep

    def wait(self, attempt: int, error: BaseException) -> None:
        """Wait before the next try; `attempt` counts from 0."""
        response = getattr(error, "response", None)
        asked = None if response is None else retry_after(response)
        self.sleep(min(2.0**attempt if asked is None else asked, LONGEST_WAIT))


PATIENT = Patience()


class Hub:
    """The Hub, for one repository and one token.

    Args:
        repo: OWNER/NAME.
        token: whose rights; None for that of the environment (HF_TOKEN) or of `hf auth login`.
        doing: what is being done, as a participle, for messages.

    Raises: InputError where there is no token at all.
    """

    def __init__(self, repo: str, token: Secret | None, doing: str = "published", patience: Patience = PATIENT) -> None:
        from huggingface_hub import HfApi, get_token

        bound_waits()
        known = get_token() if token is None else token.reveal()
        if not known:
            raise InputError(f"{repo}: no token of the Hugging Face Hub; set HF_TOKEN, or log in with `hf auth login`")
        self.repo, self.doing, self.patience = repo, doing, patience
        self.api: HfApi = HfApi(token=known, library_name="sketch-sae-lab")

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`function(...)`, tried again where the answer or the network may mend. Raises the one-line errors of `refusal`."""
        for attempt in range(self.patience.attempts):
            try:
                return function(*args, **kwargs)
            except SaeLabError:
                raise
            except Exception as error:  # the client's errors share no base
                if attempt + 1 == self.patience.attempts or not worth_another(error):
                    raise refusal(error, self.repo, self.doing) from None
                self.patience.wait(attempt, error)
        raise AssertionError("the last attempt returns or raises")


def worth_another(error: BaseException) -> bool:
    """Whether trying again may help: a transient answer, or none because the connection broke."""
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT
    return type(error).__module__.startswith("httpx") or isinstance(error, (ConnectionError, TimeoutError))
