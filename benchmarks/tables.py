"""Writes a measured table into benchmarks/README.md, between its markers, with what it was measured on."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sae_core.errors import InputError

README = Path(__file__).with_name("README.md")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Processor flags that decide how fast a GEMM is."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are right-aligned where every cell begins with a digit, a sign or a dash."""

    def numeric(column: int) -> bool:
        return column > 0 and all(re.match(r"[\d±+.~<>-]|\*\*\d|$", row[column]) for row in rows)

    rule = ["---:" if numeric(column) else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(header), rule, *map(list, rows)])


def machine() -> str:
    """Processor, cores, the flags that matter and memory, in one line."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*: (.+)", text)
    found = re.search(r"flags\s*: (.+)", text)
    flags = [flag for flag in FLAGS if found and flag in found[1].split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{name[1].strip() if name else platform.machine()}, {cores} cores ({', '.join(flags) or 'no AVX2'}), {memory:.0f} GiB"


def foot(versions: Mapping[str, str], notes: Sequence[str], module: str, cuda: str | None = None) -> str:
    """The lines below a table: machine, versions, day, command."""
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    command = shlex.join(["python", "-m", module, *(_shown(argument) for argument in sys.argv[1:])])
    device = f"{cuda}; {machine()}" if cuda else machine()
    return "\n\n".join([f"{device}. {listed}. {time.strftime('%Y-%m-%d')}. `{command}`", *notes])


def _shown(argument: str) -> str:
    """An argument as others may read it: a path outside of the working folder by its last part alone."""
    near = os.path.relpath(argument) if os.path.isabs(argument) else argument
    return os.path.basename(near) if near.startswith(os.pardir) else near


def write(name: str, body: str, readme: Path = README) -> None:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises: InputError when the markers are not there, once each and in that order.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InputError(f"{readme} has no place for this table: {begin} ... {end}; add the two lines where it belongs")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}\n{body.strip()}\n{end}{after}", encoding="utf-8")
