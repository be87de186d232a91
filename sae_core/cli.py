"""The command line: every stage, the whole run, and the care of the cache. `--help` on each command says the rest.

Standard output holds the result (with `--json` exactly one JSON object); everything else goes to standard error. Exit codes: 0
done, 2 bad input (one line), 130 cancelled, 1 anything else; a traceback only with `--debug`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from sae_core import pipeline
from sae_core.api import default_cache
from sae_core.config import RunConfig, Runtime, load_config
from sae_core.errors import Cancelled, InputError, SaeLabError
from sae_core.progress import Bars, Lines, Report, both
from sae_core.store import Store

STAGE_COMMANDS = {
    "embed": "embed the images of every domain with CLIP (makes the manifests first)",
    "train": "train the dictionary",
    "sweep": "train a grid of dictionaries on one pass over the data, and tell which are on the Pareto front",
    "evaluate": "zero-shot accuracy (or caption recall) of CLIP and of CLIP+SAE, each domain",
    "collect": "the sparse activation store and its index",
    "interpret": "name the latents, or abstain, and score the names",
    "visualize": "PNG grids of the images on which latents fire most",
    "steer": "edit latents of an image and see what changes",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see `{self.prog} --help`")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(prog="python -m sae_core", description="Sparse autoencoders on CLIP image embeddings of sketches.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    common = _Parser(add_help=False)
    common.add_argument("--cache", type=Path, default=default_cache(), help="folder of artifacts (default: cache)")
    common.add_argument("--json", action="store_true", help="print exactly one JSON object")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")

    configured = _Parser(add_help=False, parents=[common])
    configured.add_argument("--config", required=True, help="YAML file, such as configs/demo.yaml")
    configured.add_argument("--set", action="append", default=[], metavar="a.b=value", help="override one setting")
    configured.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    configured.add_argument("--workers", type=int, default=0, help="worker processes for embedding (0: in this process)")
    configured.add_argument("--tensorboard", action="store_true", help="write TensorBoard events beside metrics.jsonl as well")
    configured.add_argument("--job", type=Path, help=argparse.SUPPRESS)

    def add(name: str, text: str, action: Callable[[argparse.Namespace], Any], parent: _Parser) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[parent])
        command.set_defaults(action=action)
        return command

    for name, text in STAGE_COMMANDS.items():
        command = add(name, text, _run_stage, configured)
        if name == "sweep":
            command.add_argument("--grid", action="append", default=[], metavar="NAME=A,B,C", help="such as k=8,16,32")
        if name in ("interpret", "visualize"):
            command.add_argument("--latents", help="ids such as 12,416,7204, or strongest:16, or alive")
        if name == "steer":
            command.add_argument("--edit", action="append", metavar="LATENT:OP[:VALUE]", help="such as 7:clamp:2 or 9:ablate")
            command.add_argument("--image", type=int, help="row of the image in its domain's manifest")
            command.add_argument("--domain", help="the image's domain")
    add("run", "every stage in order", _run_stage, configured)
    add(
        "doctor",
        "what a configuration needs: device, weights, data; what is missing and how large",
        _doctor,
        configured,
    )

    add("ls", "the runs and artifacts in the cache", _ls, common)
    add("show", "one artifact's or run's record", _show, common).add_argument("key")
    add("verify", "re-derive every hash (of one artifact, or of all)", _verify, common).add_argument("key", nargs="?")
    add("rm", "remove an artifact, so that it is rebuilt", _rm, common).add_argument("key")
    add("compare", "the metrics of two or more runs side by side", _compare, common).add_argument("runs", nargs="+")
    export = add("export", "write a dictionary in another format", _export, common)
    export.add_argument("sae", help="train artifact key, or a dictionary file or folder")
    export.add_argument("--format", default="native", help="native, dictionary_learning, saelens, sparsify or seed")
    export.add_argument("--out", type=Path, required=True, help="folder to write")
    imported = add("import", "read a foreign dictionary and write it in the native format", _import, common)
    imported.add_argument("path", help="file or folder of the dictionary")
    imported.add_argument("--out", type=Path, required=True, help="folder to write")
    publish = add("publish", "write a run's dictionary, names, evaluation and card to a folder", _publish, configured)
    publish.add_argument("--out", type=Path, required=True, help="folder to write")
    return parser


# ---------------------------------------------------------------- configured commands


def _config(args: argparse.Namespace) -> RunConfig:
    overrides = list(args.set)
    if getattr(args, "latents", None):
        overrides.append(f"{args.command}.latents={_latents(args.latents)}")
    if getattr(args, "edit", None):
        overrides.append(f"steer.edits={json.dumps([_edit(text) for text in args.edit])}")
    for pair in getattr(args, "grid", []):
        name, _, values = pair.partition("=")
        overrides.append(f"sweep.{name}=[{values}]")
    if args.command == "steer":
        overrides += [f"steer.{name}={getattr(args, name)}" for name in ("image", "domain") if getattr(args, name) is not None]
    return load_config(args.config, overrides)


def _latents(text: str) -> str:
    if text == "alive":
        return "{}"
    kind, _, number = text.partition(":")
    if kind == "strongest" and number.isdigit():
        return f"{{strongest: {number}}}"
    parts = text.split(",")
    if all(part.strip().isdigit() for part in parts):
        return json.dumps({"ids": [int(part) for part in parts]})
    raise InputError(f"--latents {text}: write ids such as 12,416,7204, or strongest:16, or alive")


def _edit(text: str) -> dict[str, Any]:
    latent, _, rest = text.partition(":")
    op, _, value = rest.partition(":")
    try:
        return {"latent": int(latent), "op": op or "clamp", "value": float(value) if value else 0.0}
    except ValueError:
        raise InputError(f"--edit {text}: write LATENT:OP:VALUE, such as 7:clamp:2 or 9:ablate") from None


def _run_stage(args: argparse.Namespace) -> Any:
    stage = None if args.command == "run" else args.command
    if args.job is not None:
        return _as_job(args, stage)
    config = _config(args)
    bars = Bars() if sys.stderr.isatty() else None
    try:
        made = pipeline.run(stage, config, Store(args.cache), bars or Lines(), _runtime(args))
    finally:
        if bars is not None:
            bars.close()
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
        table = {"members": outcome.load().table.to_dict("records")} if stage == "sweep" else {}
        return {**outcome.to_json(), **table}
    return {"run": made.id, "stages": [{"node": n, **o.to_json()} for n, o in ended.items()], "metrics": made.metrics}


def _doctor(args: argparse.Namespace) -> Any:
    from sae_core.doctor import examine

    return examine(_config(args), Store(args.cache))


def _publish(args: argparse.Namespace) -> Any:
    from sae_core.publish.folder import export_run

    made = pipeline.run(None, _config(args), Store(args.cache), Lines(), _runtime(args))
    return {"out": str(args.out), "files": [str(p) for p in export_run(made, args.out)]}


# ---------------------------------------------------------------- the cache


def _ls(args: argparse.Namespace) -> Any:
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


def _show(args: argparse.Namespace) -> Any:
    store = Store(args.cache)
    if args.key.startswith("run-"):
        found = pipeline.find_run(store, args.key)
        return {"run": found.id, "name": found.name, "keys": dict(found.keys), "metrics": found.open(store).metrics}
    return dict(store.open(args.key).manifest)


def _verify(args: argparse.Namespace) -> Any:
    store = Store(args.cache)
    checked = [args.key] if args.key else store.keys()
    faults = [fault for key in checked for fault in store.verify(key)]
    if faults:
        raise InputError(f"{len(faults)} fault(s): " + "; ".join(faults))
    return {"verified": len(checked), "faults": []}


def _rm(args: argparse.Namespace) -> Any:
    store = Store(args.cache)
    if not store.has(args.key) and not store.partial(args.key).exists():
        raise InputError(f"no artifact {args.key} in {store.root}; `ls` lists what is there")
    store.remove(args.key)
    return {"removed": args.key}


def _compare(args: argparse.Namespace) -> Any:
    store = Store(args.cache)
    opened = [pipeline.find_run(store, identity).open(store).metrics for identity in args.runs]
    names = list(dict.fromkeys(name for metrics in opened for name in metrics))
    return {"runs": args.runs, "metrics": {name: [metrics.get(name) for metrics in opened] for name in names}}


def _export(args: argparse.Namespace) -> Any:
    from sae_core.sae.formats import load_sae

    source = args.sae
    store = Store(args.cache)
    if source.startswith("train-"):
        source = str(store.open(source).path)
    load_sae(source).save(args.out, format=args.format)
    return {"out": str(args.out), "format": args.format, "files": sorted(p.name for p in args.out.iterdir())}


def _import(args: argparse.Namespace) -> Any:
    from sae_core.sae.formats import load_sae

    load_sae(args.path).save(args.out, format="native")
    return {"out": str(args.out), "files": sorted(p.name for p in args.out.iterdir())}


# ---------------------------------------------------------------- entry


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    # A polite kill (as of a container) stops a stage at once and keeps what it finished, like Ctrl-C.
    with contextlib.suppress(ValueError):  # not in the main thread: the caller's signals are its own
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        args = build_parser().parse_args(words)
        with contextlib.redirect_stdout(sys.stderr):
            result = args.action(args)
        print(json.dumps(result) if args.json else _human(result))
        return 0
    except (Cancelled, KeyboardInterrupt) as error:
        return _fail(str(error) or "cancelled; what was finished is kept, the same command resumes", 130, debug)
    except SaeLabError as error:
        return _fail(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # The reader of our output (such as `head`) went away; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code


def _human(result: Any, indent: str = "") -> str:
    if not isinstance(result, dict):
        return f"{indent}{result}"
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", _human(value, indent + "  ")] if value else []
        elif isinstance(value, list):
            lines.append(f"{indent}{name}:")
            lines += [indent + "  " + _inline(item) for item in value]
        else:
            lines.append(f"{indent}{name}: {_cell(value)}")
    return "\n".join(lines)


def _inline(item: Any) -> str:
    if not isinstance(item, dict):
        return _cell(item)
    return "  ".join(f"{k}={_cell(v)}" for k, v in item.items() if not isinstance(v, (dict, list)))


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
