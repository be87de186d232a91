"""The commands that have a configuration: every stage, the whole run, card, doctor, report. Each returns its output."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Literal

from sae_core import pipeline
from sae_core.cli import drawing, interpreting
from sae_core.cli.printing import records, spreadsheet
from sae_core.config import RunConfig, Runtime, load_config
from sae_core.errors import InputError
from sae_core.progress import Bars, Lines, Report, both
from sae_core.store import Store, write_atomic


def _config(args: argparse.Namespace) -> RunConfig:
    overrides = list(args.set)
    if args.command == "interpret":
        overrides += interpreting.overrides(args)
    if getattr(args, "latents", None):
        overrides.append(f"{args.command}.latents={_latents(args, overrides)}")
    if getattr(args, "edit", None):
        overrides.append(f"steer.edits={json.dumps([_edit(text) for text in args.edit])}")
    for pair in getattr(args, "grid", []):
        name, _, values = pair.partition("=")
        overrides.append(f"sweep.{name}=[{values}]")
    if args.command == "steer":
        overrides += [f"steer.{name}={getattr(args, name)}" for name in ("image", "domain") if getattr(args, name) is not None]
        overrides += _replayed(args)
    return load_config(args.config, overrides)


def _replayed(args: argparse.Namespace) -> list[str]:
    """The settings that `steer --recipe` stands for, after refusing what it cannot be given with."""
    if args.scan and (args.recipe or args.edit or args.image is not None or args.domain is not None):
        raise InputError("--scan rates every latent on images of its own; leave out --recipe, --edit, --image and --domain")
    if args.recipe is None:
        return []
    if args.edit:
        raise InputError("--recipe and --edit: give one of them, a recipe says itself what is edited")
    from sae_core.steer.recipes import read_recipe

    return ["steer.edits=null", f"steer.recipe={read_recipe(args.recipe).model_dump_json()}"]


def _latents(args: argparse.Namespace, overrides: list[str]) -> str:
    text = str(args.latents)
    if text in ("all", "alive"):
        return "{}"
    if text == "bookmarked":
        return json.dumps({"ids": interpreting.bookmarked(load_config(args.config, overrides), Store(args.cache))})
    kind, _, number = text.partition(":")
    if kind == "strongest" and number.isdigit():
        return f"{{strongest: {number}}}"
    parts = text.removeprefix("ids:").split(",")
    if all(part.strip().isdigit() for part in parts):
        return json.dumps({"ids": [int(part) for part in parts]})
    raise InputError(f"--latents {text}: write ids such as 12,416,7204, or strongest:16, or bookmarked, or all")


def _edit(text: str) -> dict[str, Any]:
    latent, _, rest = text.partition(":")
    op, _, value = rest.partition(":")
    try:
        return {"latent": int(latent), "op": op or "clamp", "value": float(value) if value else 0.0}
    except ValueError:
        raise InputError(f"--edit {text}: write LATENT:OP:VALUE, such as 7:clamp:2 or 9:ablate") from None


def run_stage(args: argparse.Namespace) -> Any:
    """Make one stage, or the whole run."""
    stage = {"run": None, "steer": "scan" if getattr(args, "scan", False) else "steer"}.get(args.command, args.command)
    if args.job is not None:
        return _as_job(args, stage)
    config = _config(args)
    if args.command == "steer":
        drawing.check_options(args)
    if getattr(args, "dry_run", False):
        return interpreting.dry_run(config, Store(args.cache), _runtime(args))
    bars = Bars() if sys.stderr.isatty() else None
    try:
        made = pipeline.run(stage, config, Store(args.cache), bars or Lines(), _runtime(args))
    finally:
        if bars is not None:
            bars.close()
    if getattr(args, "decoder", None) is not None:
        return {**_result(made, stage), **drawing.draw(args, made)}
    return _result(made, stage)


def _as_job(args: argparse.Namespace, stage: str | None) -> Any:
    from sae_core.jobs import Worker

    with Worker(args.job, args.command).working() as worker:
        config, store = _config(args), Store(args.cache)
        worker.note(run_id=pipeline.run_id(pipeline.keys(config, store)))
        report: Report = both(Lines(), worker)
        return _result(pipeline.run(stage, config, store, report, _runtime(args)), stage)


def _runtime(args: argparse.Namespace) -> Runtime:
    if args.workers < 0:
        raise InputError(f"--workers {args.workers}: give 0 or more")
    executor: Literal["processes", "inline"] = "processes" if args.workers > 1 else "inline"
    return Runtime(device=args.device, workers=args.workers, tensorboard=args.tensorboard, executor=executor)


def _result(made: pipeline.Run, stage: str | None) -> dict[str, Any]:
    if stage is None:
        stages = [{"node": name, **outcome.to_json()} for name, outcome in made.outcomes.items()]
        return {"run": made.id, "stages": stages, "metrics": made.metrics}
    ended = {name: outcome for name, outcome in made.outcomes.items() if outcome.stage == stage}
    if len(ended) == 1:
        outcome = next(iter(ended.values()))
        return {**outcome.to_json(), **(_sweep_tables(outcome) if stage == "sweep" else {})}
    return {"run": made.id, "stages": [{"node": n, **o.to_json()} for n, o in ended.items()], "metrics": made.metrics}


def _sweep_tables(outcome: pipeline.Outcome) -> dict[str, Any]:
    from sae_core.evaluate.stability import stability_of

    swept = outcome.load()
    return {"members": records(swept.table), "stability": records(stability_of(swept))}


def card(args: argparse.Namespace) -> Any:
    """A latent's card, with the names, verdicts and marks that the run has; with `--out` as files too."""
    from sae_core.browse.card import latent_card
    from sae_core.browse.marks import load_marks
    from sae_core.browse.sheet import card_png
    from sae_core.sae.architectures import SAE

    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out}: this is a file; give a folder")
    config, store = _config(args), Store(args.cache)
    pipeline.run("collect", config, store, Lines(), _runtime(args))
    made = pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)
    acts = made.load("collect")
    manifests = {domain: made.load(f"manifest:{domain}") for domain in acts.domains}
    known = {kind: made.load(node) for kind, node in (("names", "interpret"), ("geometry", "geometry")) if node in made.outcomes}
    classes = {domain: manifest.classes for domain, manifest in manifests.items()}
    sae, marks = SAE.load(made.outcomes["train"].path), load_marks(store, made.id)
    found = latent_card(acts, sae, args.latent, classes=classes, marks=marks, **known)
    shown = found.to_json(manifests)
    printed = {name: value for name, value in shown.items() if args.json or name != "histograms"}  # for people they are a picture
    if args.out is None:
        return printed
    args.out.mkdir(parents=True, exist_ok=True)
    content = {
        "json": json.dumps(shown, indent=1, ensure_ascii=False, allow_nan=False).encode(),
        "csv": spreadsheet(found.table(manifests)),
        "png": card_png(found, manifests),
    }
    files = [args.out / f"latent_{args.latent:04d}.{ending}" for ending in content]
    for file, data in zip(files, content.values(), strict=True):
        write_atomic(file, data)
    return {**printed, "files": [str(file) for file in files]}


def doctor(args: argparse.Namespace) -> Any:
    """What a configuration needs and what of it is missing."""
    from sae_core.doctor import examine

    return examine(_config(args), Store(args.cache))


def report(args: argparse.Namespace) -> Any:
    """Make what the report is about and write it as one HTML file; what these data do not allow is said in its place."""
    from sae_core.publish.report import report_html

    if args.out.is_dir() or not args.out.absolute().parent.is_dir():
        raise InputError(f"--out {args.out}: give a file, such as report.html, in a folder that exists")
    config, store = _config(args), Store(args.cache)
    refused = {}
    for stage in ("evaluate", "collect", "interpret", "geometry"):
        try:
            pipeline.run(stage, config, store, Lines(), _runtime(args))
        except InputError as error:
            if stage in ("evaluate", "collect"):
                raise
            refused[stage] = str(error)
    made = pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)
    written = report_html(made, refused).encode()
    write_atomic(args.out, written)
    return {"run": made.id, "out": str(args.out), "megabytes": round(len(written) / 1e6, 3), "refused": refused}
