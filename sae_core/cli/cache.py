"""The commands on what is in the cache, and on dictionaries in files. Each returns what is printed."""

from __future__ import annotations

import argparse
from itertools import combinations
from typing import Any

from sae_core import pipeline
from sae_core.errors import InputError
from sae_core.store import Store


def ls(args: argparse.Namespace) -> Any:
    """The runs and artifacts."""
    store = Store(args.cache)
    runs = [{"run": one.id, "name": one.name, "nodes": len(one.keys)} for one in pipeline.runs(store)]
    artifacts = [
        {
            "key": a.key,
            "created": a.manifest["created"],
            "megabytes": round(sum(f["size"] for f in a.manifest["files"].values()) / 1e6, 3),
        }
        for a in store.artifacts()
    ]
    return {"cache": str(store.root), "runs": runs, "artifacts": artifacts}


def show(args: argparse.Namespace) -> Any:
    """The record of an artifact or a run."""
    store = Store(args.cache)
    if args.key.startswith("run-"):
        found = pipeline.find_run(store, args.key)
        return {"run": found.id, "name": found.name, "keys": dict(found.keys), "metrics": found.open(store).metrics}
    return dict(store.open(args.key).manifest)


def verify(args: argparse.Namespace) -> Any:
    """Re-derive hashes; InputError naming every fault."""
    store = Store(args.cache)
    checked = [args.key] if args.key else store.keys()
    faults = [fault for key in checked for fault in store.verify(key)]
    if faults:
        raise InputError(f"{len(faults)} fault(s): " + "; ".join(faults))
    return {"verified": len(checked), "faults": []}


def rm(args: argparse.Namespace) -> Any:
    """Remove an artifact."""
    store = Store(args.cache)
    if not store.has(args.key) and not store.partial(args.key).exists():
        raise InputError(f"no artifact {args.key} in {store.root}; `ls` lists what is there")
    store.remove(args.key)
    return {"removed": args.key}


def compare(args: argparse.Namespace) -> Any:
    """The metrics of runs side by side; where they have been made, their shares of verdicts and their domains' shift too."""
    store = Store(args.cache)
    opened = {identity: pipeline.find_run(store, identity).open(store) for identity in args.runs}
    metrics = [opened[identity].metrics for identity in args.runs]
    names = list(dict.fromkeys(name for one in metrics for name in one))
    out: dict[str, Any] = {"runs": args.runs, "metrics": {name: [one.get(name) for one in metrics] for name in names}}
    geometry = [line for identity, run in opened.items() for line in _verdicts(identity, run)]
    shift = [line for identity, run in opened.items() for line in _shift(identity, run)]
    return {**out, **({"geometry": geometry} if geometry else {}), **({"shift": shift} if shift else {})}


def _verdicts(identity: str, run: pipeline.Run) -> list[dict[str, Any]]:
    """A line for each domain and dictionary that was judged: the share of each verdict, with its interval."""
    if "geometry" not in run.outcomes:
        return []
    lines = []
    for domain, found in run.load("geometry").report["domains"].items():
        for kind, table in found["dictionaries"].items():
            line = {"run": identity, "domain": domain, "dictionary": kind, "images": found["n"], "tested": table["tested"]}
            for verdict, numbers in table.items():
                if verdict != "tested":
                    line |= {verdict: numbers["share"], f"{verdict}_low": numbers["low"], f"{verdict}_high": numbers["high"]}
            lines.append(line)
    return lines


def _shift(identity: str, run: pipeline.Run) -> list[dict[str, Any]]:
    """A line for each pair of domains: how many latents both share, how many are one's own, how many fire on neither."""
    from sae_core.evaluate.shift import domain_shift, shift_counts

    if "collect" not in run.outcomes:
        return []
    acts = run.load("collect")
    if len(acts.domains) < 2:
        return []
    n = acts.images["domain"].value_counts().to_dict()
    return [{"run": identity, **shift_counts(domain_shift(acts.stats, n, a, b), a, b)} for a, b in combinations(acts.domains, 2)]


def export_sae(args: argparse.Namespace) -> Any:
    """Write a dictionary in another format."""
    from sae_core.sae.formats import load_sae

    source = args.sae
    store = Store(args.cache)
    if source.startswith("train-"):
        source = str(store.open(source).path)
    load_sae(source).save(args.out, format=args.format)
    return {"out": str(args.out), "format": args.format, "files": sorted(p.name for p in args.out.iterdir())}


def import_sae(args: argparse.Namespace) -> Any:
    """Read a foreign dictionary and write it as native."""
    from sae_core.sae.formats import load_sae

    load_sae(args.path).save(args.out, format="native")
    return {"out": str(args.out), "files": sorted(p.name for p in args.out.iterdir())}
