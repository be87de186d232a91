"""What is stated of licences: the dictionary's own, and of the images of each domain. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sae_core.config import RunConfig
from sae_core.errors import InputError

LISTED = frozenset(
    {
        "apache-2.0", "mit", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
        "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "bsd-2-clause", "bsd-3-clause", "isc",
        "zlib", "unlicense", "gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0",
        "mpl-2.0", "epl-2.0", "eupl-1.2", "odbl", "openrail", "unknown", "other",
    }
)  # fmt: skip
"""Identifiers that the Hub lists as a card's `license`; any other is `other` with a name."""
DRAWN = "drawn by this program from random numbers, nobody else's pictures"
NOT_STATED = "not stated by the publisher"


@dataclass(frozen=True)
class Licences:
    """What the publisher states.

    Attributes:
        dictionary: an identifier such as `mit` or `cc-by-4.0`, or a licence's name; None states none.
        data: by domain, under which licence or from whom its images are.
    """

    dictionary: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)

    def of(self, config: RunConfig, domain: str) -> str | None:
        """What is known of a domain's images: what was stated, for the drawn world where it comes from, else None."""
        return self.data.get(domain) or (DRAWN if config.data[domain].source == "drawn" else None)

    def missing(self, config: RunConfig) -> list[str]:
        """The domains of whose images nothing is stated."""
        return [domain for domain in config.data if self.of(config, domain) is None]


NOTHING = Licences()
"""Nothing is stated."""


def stated_licences(dictionary: str | None, data: list[str], config: RunConfig) -> Licences:
    """What `--license` and `--data-license DOMAIN=TEXT` state. Raises InputError on an unknown domain, or no text."""
    stated = {}
    for pair in data:
        domain, equals, text = pair.partition("=")
        if not equals or not plain(text) or domain.strip() not in config.data:
            raise InputError(f"--data-license {pair}: write DOMAIN=LICENCE, DOMAIN one of {', '.join(config.data)}")
        stated[domain.strip()] = plain(text)
    if dictionary is not None and not plain(dictionary):
        raise InputError("--license is empty: give an identifier such as mit or cc-by-4.0, or leave it out")
    return Licences(None if dictionary is None else plain(dictionary), stated)


def plain(text: str) -> str:
    """A text as one printable line of at most 200 characters, without what Markdown or HTML would take for markup."""
    return " ".join("".join(c if c.isprintable() and c not in "<>|`[]" else " " for c in text).split())[:200]


def front_matter(dictionary: str | None) -> dict[str, str]:
    """The card's `license` fields. What nobody stated is `other` and says so."""
    if dictionary is None:
        return {"license": "other", "license_name": "not-stated"}
    identifier = dictionary.lower()
    if identifier in LISTED:
        return {"license": identifier}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.\-]+", "-", identifier).strip("-") or "not-stated"}
