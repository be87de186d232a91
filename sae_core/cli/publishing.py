"""`publish` to a folder, the Hub, a static site or a Space, and `import`, which brings a published run or a dictionary back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae_core import pipeline
from sae_core.cli import cache
from sae_core.config import RunConfig, Runtime, load_config
from sae_core.errors import InputError
from sae_core.progress import Bars, Lines, Report
from sae_core.publish.licences import Licences, stated_licences
from sae_core.runs import record
from sae_core.store import Store

if TYPE_CHECKING:
    from sae_core.publish.hub.bring import Brought


def add_publish(command: argparse.ArgumentParser, parents: list[argparse.ArgumentParser]) -> None:
    """Give `publish` its destinations. Without one it writes a folder, as it always did: `publish --config C --out DIR`."""
    command.set_defaults(action=folder)
    command.add_argument("--config", help="YAML file, such as configs/demo.yaml")
    command.add_argument("--set", action="append", default=[], metavar="a.b=value", help="override one setting")
    command.add_argument("--out", type=Path, help="folder to write")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    kinds = command.add_subparsers(dest="to", metavar="folder|hub|site|space", parser_class=type(command))

    def add(name: str, text: str, action: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
        one = kinds.add_parser(name, help=text, description=text, parents=parents)
        one.set_defaults(action=action)
        return one

    folder_ = add("folder", "dictionary, names, evaluation, configuration and card as files", folder)
    hub_ = add("hub", "the same to a repository of the Hugging Face Hub, private unless --public", hub)
    site_ = add("site", "the latent browser as a static site that needs no server", site)
    space_ = add(
        "space", "the app with this run as a Docker Space of the Hugging Face Hub, or its static site as a free one", space
    )
    folder_.add_argument("out", type=Path, metavar="DIR", help="folder to write")
    site_.add_argument("out", type=Path, metavar="DIR", help="folder to write")
    for one in (site_, space_):
        one.add_argument("--images", action="store_true", help="in a site, pictures of other data sets than the drawn world too")
    site_.add_argument("--force", action="store_true", help="write among the files of a folder that holds something else")
    for one in (folder_, hub_):
        one.add_argument("--formats", metavar="A,B", help="native (always), saelens, dictionary_learning, sparsify, seed")
    space_.add_argument("--static", action="store_true", help="push the static site, which is free to host, instead of the app")
    for one in (folder_, hub_, site_, space_):
        one.add_argument("--license", metavar="ID", help="of the dictionary, such as mit or cc-by-4.0 (default: none is stated)")
        one.add_argument(
            "--data-license", action="append", default=[], metavar="DOMAIN=TEXT", help="licence or origin of a domain's images"
        )
    for one in (hub_, space_):
        one.add_argument("repo", metavar="REPO", help="OWNER/NAME on the Hub; made where it is missing")
        one.add_argument("--public", action="store_true", help="for everyone to see (default: private)")
        one.add_argument("--dry-run", action="store_true", help="say every file with its size and place; ask nobody")
    hub_.add_argument("--revision", metavar="BRANCH", help="branch of the repository (default: main)")
    space_.add_argument("--out", type=Path, metavar="DIR", help="with --dry-run: write the files to this folder")


def add_import(command: argparse.ArgumentParser) -> None:
    """Give `import` its arguments."""
    command.set_defaults(action=import_)
    command.add_argument("path", help="file or folder of a dictionary, or hf://OWNER/NAME[@REVISION] of a published run")
    command.add_argument("--out", type=Path, help="folder to write a dictionary to (a published run goes into the cache)")
    command.add_argument("--check", action="store_true", help="evaluate a published run again, and compare")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (with --check)")


def _made(args: argparse.Namespace) -> pipeline.Run:
    """The whole run of the configuration, made where it is missing."""
    if args.config is None:
        raise InputError("publish: --config FILE is needed, such as configs/demo.yaml")
    config, store = load_config(args.config, list(args.set)), Store(args.cache)
    pipeline.run(None, config, store, Lines(), Runtime(device=args.device))
    # What was made on request (geometry, the map of directions) is a part of it too.
    return pipeline.find_run(store, pipeline.run_id(pipeline.keys(config, store))).open(store)


def _stated(args: argparse.Namespace, config: RunConfig) -> tuple[list[str] | None, Licences]:
    formats = getattr(args, "formats", None)
    stated = stated_licences(getattr(args, "license", None), getattr(args, "data_license", []), config)
    return None if formats is None else [name.strip() for name in formats.split(",") if name.strip()], stated


def _report() -> Report:
    return Bars() if sys.stderr.isatty() else Lines()


def folder(args: argparse.Namespace) -> Any:
    """Make the run and write it to a folder."""
    from sae_core.publish.folder import export_run

    if args.out is None:
        raise InputError("publish: say where to, such as `publish folder DIR`, `publish hub OWNER/NAME` or --out DIR")
    made = _made(args)
    formats, stated = _stated(args, made.config)
    return {"out": str(args.out), "files": [str(path) for path in export_run(made, args.out, formats, stated)]}


def hub(args: argparse.Namespace) -> Any:
    """Make the run and publish it on the Hub, or say what that would be."""
    from sae_core.publish.hub.push import plan_push, push_run, repository

    repo = repository(args.repo)
    made = _made(args)
    formats, stated = _stated(args, made.config)
    asked = {"private": not args.public, "revision": args.revision, "formats": formats, "licences": stated}
    if args.dry_run:
        planned = plan_push(made, repo, **asked)
        files = [{"file": name, "bytes": size, "to": where} for name, size, where in planned.files]
        return {"dry_run": True, "repo": repo, "private": planned.private, "bytes": planned.bytes, "files": files}
    pushed = push_run(made, repo, report=_report(), **asked)
    return {
        "repo": pushed.repo,
        "url": pushed.url,
        "revision": pushed.revision,
        "commit": pushed.commit,
        "private": pushed.private,
        "changed": pushed.changed,
        "uploaded": list(pushed.uploaded),
        "deleted": list(pushed.deleted),
        "unchanged": len(pushed.unchanged),
    }


def site(args: argparse.Namespace) -> Any:
    """Make the run and write it as a static site."""
    from sae_core.publish.site import write_site

    made = _made(args)
    _, stated = _stated(args, made.config)
    written = write_site(made, args.out, _report(), force=args.force, images=args.images, licences=stated)
    return {
        "out": str(args.out),
        "files": written.files,
        "megabytes": round(written.bytes / 1e6, 3),
        "pages": written.pages,
        "without_pictures": list(written.withheld),
    }


def space(args: argparse.Namespace) -> Any:
    """Make the run and put it on the Hub as a Space, or write the Space's files to a folder."""
    from huggingface_hub import get_token

    from sae_core.publish.hub.push import repository
    from sae_core.publish.space import push_space, write_space

    repo = repository(args.repo)
    if args.out is not None and not args.dry_run:
        raise InputError("publish space: --out DIR writes the files instead of pushing them; say --dry-run too")
    if args.images and not args.static:
        raise InputError("publish space: --images is for --static; the app shows every image whose licence is stated")
    made = _made(args)
    _, stated = _stated(args, made.config)
    said = {"repo": repo, "dry_run": args.dry_run, "kind": "static" if args.static else "docker", "private": not args.public}
    how: dict[str, Any] = {"static": args.static, "images": args.images, "report": _report(), "licences": stated}
    if args.out is not None:
        bundle = write_space(made, args.out, **how)
        return {**said, "bytes": bundle.bytes, "files": list(bundle.files), "out": str(args.out)}
    token = None if args.dry_run else get_token()
    bundle = push_space(made, repo, token=token, private=not args.public, dry_run=args.dry_run, **how)
    return {**said, "bytes": bundle.bytes, "files": list(bundle.files)}


# ---------------------------------------------------------------- import


def import_(args: argparse.Namespace) -> Any:
    """A dictionary into the native format, or a published run of the Hub into the cache."""
    if not args.path.startswith("hf://"):
        if args.out is None:
            raise InputError("import: say where to write the dictionary, with --out DIR")
        return cache.import_sae(args)
    from sae_core.publish.hub.bring import bring
    from sae_core.sae.formats import load_sae

    store = Store(args.cache)
    brought = bring(args.path, store, leave_out=("evaluate",) if args.check else ())
    recorded = _recorded(brought, store)
    said: dict[str, Any] = {
        "from": str(brought.address),
        "commit": brought.commit,
        "run": brought.run,
        "recorded": recorded,
        "config": str(store.root / "runs" / brought.run / "config.yaml") if recorded else None,
        "artifacts": dict(brought.artifacts),
        "sha256": brought.sha256,
    }
    if args.check:
        said |= _checked(brought, store, args.device)
    if args.out is not None:
        load_sae(store.open(brought.artifacts["train"]).path).save(args.out, format="native")
        said["out"] = str(args.out)
    return said


def _recorded(brought: Brought, store: Store) -> bool:
    """Put the run where the run picker finds it, if this version and these data derive the keys it was published with."""
    try:
        keyed = pipeline.keys(brought.config, store)
    except InputError:  # its images are not here, so nothing can be derived; the keys it came with are all there is
        nodes = pipeline.plan(brought.config)
        keyed = {name: pipeline.Keyed(brought.keys[name], {}, None) for name in nodes if name in brought.keys}
        if not {name for name, node in nodes.items() if node.stage.name not in pipeline.ON_REQUEST} <= set(keyed):
            return False
    if keyed["train"].key != brought.artifacts["train"]:
        return False
    record(store, brought.run, brought.config, keyed)
    return True


def _checked(brought: Brought, store: Store, device: str) -> dict[str, Any]:
    """Evaluate again what came, with the configuration that came with it, and compare every number."""
    published = brought.metrics.get("evaluate")
    if published is None:
        raise InputError(f"{brought.address} was published without an evaluation; there is nothing to compare")
    made = pipeline.run("evaluate", brought.config, store, Lines(), Runtime(device=device))
    if made.keys["train"] != brought.artifacts["train"]:
        raise InputError(f"{brought.address}: the data here are not those it was trained on; put them where run.yaml says")
    again = dict(made.outcomes["evaluate"].metrics)
    differ = {
        name: [published.get(name), again.get(name)] for name in {**published, **again} if published.get(name) != again.get(name)
    }
    return {"reproduced": not differ, "compared": len(published), "differences": differ}
