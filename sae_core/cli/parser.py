"""The parser of the command line: each command, its options, and the function that carries it out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sae_core.api import default_cache
from sae_core.cli import cache, making, publishing
from sae_core.errors import InputError

STAGE_COMMANDS = {
    "embed": "embed the images of every domain with CLIP (makes the manifests first)",
    "strokes": "measure the strokes of every picture: lines, curves, corners, junctions, loops, hatching, dots and the pen",
    "train": "train the dictionary",
    "sweep": "train a grid of dictionaries on one pass over the data, and tell which are on the Pareto front",
    "evaluate": "zero-shot accuracy (or caption recall) of CLIP and of CLIP+SAE, each domain",
    "collect": "the sparse activation store and its index",
    "geometry": "whether each latent follows strokes or class, beside a random dictionary and the raw dimensions",
    "directions": "a map of the dictionary: latents whose decoder rows point alike lie close together",
    "interpret": "name the latents, or abstain, and score the names",
    "visualize": "PNG grids of the images on which latents fire most",
    "steer": "edit latents of an image and see what changes",
    "scan": "rate every latent that fires: does turning it up do more than random directions do?",
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
    configured.add_argument("--workers", type=int, default=0, help="processes that embed and measure (0: this one)")
    configured.add_argument("--tensorboard", action="store_true", help="write TensorBoard events beside metrics.jsonl as well")
    configured.add_argument("--job", type=Path, help=argparse.SUPPRESS)

    def add(name: str, text: str, action: Callable[[argparse.Namespace], Any], parent: _Parser) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[parent])
        command.set_defaults(action=action)
        return command

    for name, text in STAGE_COMMANDS.items():
        command = add(name, text, making.run_stage, configured)
        if name == "sweep":
            command.add_argument("--grid", action="append", default=[], metavar="NAME=A,B,C", help="such as k=8,16,32")
        if name in ("interpret", "visualize"):
            command.add_argument("--latents", help="ids such as 12,416,7204, or strongest:16, or bookmarked, or all")
        if name == "interpret":
            command.add_argument("--method", choices=("clip", "vision"), help="offline, or by a model that is shown images")
            command.add_argument("--model", help="the vision model's id, as the endpoint lists it")
            command.add_argument("--endpoint", help="an OpenAI-compatible endpoint (default: OpenRouter)")
            command.add_argument("--cap", type=float, metavar="USD", help="the most that may be spent (default: 1.00)")
            command.add_argument("--dry-run", action="store_true", help="say what would be asked, paid and sent; ask nobody")
        if name == "steer":
            command.add_argument("--edit", action="append", metavar="LATENT:OP[:VALUE]", help="such as 7:clamp:2 or 9:ablate")
            command.add_argument("--image", type=int, help="row of the image in its domain's manifest")
            command.add_argument("--domain", help="the image's domain")
            command.add_argument("--recipe", metavar="FILE|LINK", help="replay a recipe.json, or the link of one (r1....)")
            command.add_argument("--scan", action="store_true", help="rate every latent instead: the same as the command scan")
            command.add_argument("--decoder", metavar="ID", help="draw what was steered, such as drawn-strokes or kandinsky-2.2")
            command.add_argument("--out", type=Path, help="folder for the pictures (default: steered)")
            command.add_argument(
                "--fetch", action="store_true", help="download the decoder where it is not here; doctor says its size"
            )
            command.add_argument(
                "--offload", action="store_true", help="keep the decoder in main memory: slower, less GPU memory"
            )
    add("run", "every stage in order", making.run_stage, configured)
    card = add("card", "everything there is to see of one latent, as JSON, CSV and a picture", making.card, configured)
    card.add_argument("--latent", type=int, required=True, help="its number in the dictionary, from 0")
    card.add_argument("--out", type=Path, help="folder to write latent_XXXX.json, .csv and .png to")
    add(
        "doctor",
        "what a configuration needs: device, weights, data; what is missing and how large",
        making.doctor,
        configured,
    )

    add("ls", "the runs and artifacts in the cache", cache.ls, common)
    add("show", "one artifact's or run's record", cache.show, common).add_argument("key")
    add("verify", "re-derive every hash (of one artifact, or of all)", cache.verify, common).add_argument("key", nargs="?")
    add("rm", "remove an artifact, so that it is rebuilt", cache.rm, common).add_argument("key")
    add("compare", "the metrics of two or more runs side by side", cache.compare, common).add_argument("runs", nargs="+")
    export = add("export", "write a dictionary in another format", cache.export_sae, common)
    export.add_argument("sae", help="train artifact key, or a dictionary file or folder")
    export.add_argument("--format", default="native", help="native, dictionary_learning, saelens, sparsify or seed")
    export.add_argument("--out", type=Path, required=True, help="folder to write")
    publishing.add_import(add("import", "bring a published run, or a dictionary in any format", publishing.import_, common))
    publish = add("publish", "write a run to a folder, the Hub, a static site or a Space", publishing.folder, common)
    publishing.add_publish(publish, [configured])
    report = add("report", "write evaluation, geometry, names and provenance as one HTML file", making.report, configured)
    report.add_argument("--out", type=Path, required=True, help="HTML file to write")
    return parser
