"""What is to be looked at before a run is given away: what is in it, whose images it saw, whether the split is sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sae_core.publish.data import shared_between_domains, splits
from sae_core.publish.licences import NOTHING, Licences
from sae_core.publish.run import Run

State = Literal["good", "open", "bad"]


@dataclass(frozen=True)
class Check:
    """One line of the checklist: `good`, `open` (may be published, and the card says what is missing) or `bad`."""

    name: str
    state: State
    said: str


def publication_checks(run: Run, stated: Licences = NOTHING) -> list[Check]:
    """Every check but the search for secrets, which reads the written files (`export_run` refuses them)."""
    return [_metrics(run), _names(run), _licence(run, stated), *_images(run, stated), _splits(run)]


def _metrics(run: Run) -> Check:
    measured = [domain for domain in run.config.data if f"{domain}.n" in run.metrics]
    missing = [domain for domain in run.config.data if domain not in measured]
    if "evaluate" not in run.paths:
        return Check("Metrics", "open", "not evaluated yet: the card would say so, and what the dictionary costs stays unknown")
    if missing:
        return Check("Metrics", "open", f"no numbers for {', '.join(missing)}")
    return Check("Metrics", "good", f"measured on held-out images of {', '.join(measured)}")


def _names(run: Run) -> Check:
    if "interpret" not in run.paths:
        return Check("Names", "open", "no latent is named yet; the names are left out")
    named = run.metrics.get("names_ok", 0.0)
    return Check("Names", "good", f"{named:,.0f} latents have a name, each with its score")


def _licence(run: Run, stated: Licences) -> Check:
    if stated.dictionary is None:
        return Check("Licence of the dictionary", "open", "not stated; nobody may assume that they may use it")
    return Check("Licence of the dictionary", "good", stated.dictionary)


def _images(run: Run, stated: Licences) -> list[Check]:
    found = []
    for domain in run.config.data:
        known = stated.of(run.config, domain)
        said = known or "not stated; no image leaves, but the dictionary was made from them: say what their licence allows"
        found.append(Check(f"Licence of the images: {domain}", "open" if known is None else "good", said))
    return found


def _splits(run: Run) -> Check:
    made = splits(run)
    if not made:
        return Check("Split", "open", "the images are not here, so that nothing can be said of near-duplicates in train and test")
    crossing = sum(one.crossing for one in made.values())
    between = shared_between_domains(run)
    if crossing or between:
        parts = [f"{crossing:,} groups of near-duplicates stand in train and in test"] if crossing else []
        parts += [f"{n:,} equal images of {pair} stand on both sides" for pair, n in between.items()]
        return Check("Split", "bad", "; ".join(parts) + ": the numbers flatter")
    groups = sum(one.groups for one in made.values())
    return Check("Split", "good", f"{groups:,} groups of near-duplicates, none of them in train and in test")
