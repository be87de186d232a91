"""The house: imports go one way, the core never sees Streamlit, pages see only the core's exports, importing does nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    "errors",
    "config",
    "progress",
    "figures",
    "store",
    "visitors",
    "scale",
    "data",
    "clip",
    "sae",
    "activations",
    "evaluate",
    "interpret",
    "browse",
    "steer",
    "publish",
    "stages",
    "runs",
    "pipeline",
    "api",
    "doctor",
    "jobs",
    "cli",
]
CORE = sorted(p for p in (ROOT / "sae_core").rglob("*.py"))
PAGES = sorted([ROOT / "app.py", *(ROOT / "pages").rglob("*.py")])


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in the file, wherever in it; name is empty for `import x`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def part(module: str, name: str) -> str | None:
    """The part of the house an import reaches: `sae_core.data.x` -> data."""
    words = module.split(".")
    if words[0] != "sae_core":
        return None
    return words[1] if len(words) > 1 else name


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    own = path.relative_to(ROOT / "sae_core").parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module, name in imports(path):
        reached = part(module, name)
        assert module.split(".")[0] != "streamlit", f"{path.name} imports Streamlit"
        if reached is not None and reached != own:
            assert ORDER.index(reached) < ORDER.index(own), f"{own} imports {reached}, which stands after it"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_pages_import_only_what_the_core_exports(path: Path) -> None:
    import sae_core

    for module, name in imports(path):
        if module.split(".")[0] == "sae_core":
            assert module == "sae_core", f"{path.name} imports {module}"
            assert not name or name in sae_core.__all__, f"{path.name} imports {name}, which sae_core does not export"


def test_every_export_exists() -> None:
    import sae_core

    for name in sae_core.__all__:
        assert getattr(sae_core, name) is not None


def test_importing_the_core_loads_nothing_heavy_and_makes_nothing(tmp_path: Path) -> None:
    code = "import sys, sae_core, sae_core.pipeline, sae_core.cli\n"
    code += "print([m for m in ('torch', 'open_clip', 'streamlit') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [*CORE, *PAGES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_has_one_reason_to_exist(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420, "split it by reason"
