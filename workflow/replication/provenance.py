"""A fingerprint of the code behind each stage, so that an edit reruns what it touches.

Snakemake watches a rule's script but no module that the script imports. Every rule therefore has
``params: code=code_hash("<stage>")``: a hash over the syntax trees of all project modules that the
stage's script reaches by imports, without docstrings, comments and layout.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "UNUSED", "code_hash", "stage_modules"]

_ROOT = Path(__file__).resolve().parents[2]

PACKAGES = {
    "tramdag": _ROOT / "tramdag",
    "simulations": _ROOT / "simulations",
    "replication": _ROOT / "workflow" / "replication",
}
"""The project's packages; code of others is pinned by the lock file instead."""

SCRIPTS = _ROOT / "workflow" / "scripts"

UNUSED: dict[str, frozenset[str]] = {
    "fit": frozenset(
        f"tramdag.{name}"
        for name in (
            "diagnostics",
            "flow_diagnostics",
            "flow_delta",
            "flow_effects",
            "flow_laws",
            "flow_queries",
            "inference.profile",
            "inference.term_tests",
            "queries.counterfactual",
            "queries.effects",
            "queries.joint",
            "queries.laws",
            "queries.mediation",
            "queries.particles",
            "queries.query",
            "queries.statistics",
        )
    ),
}
"""Modules that a stage imports only because ``import tramdag`` does, and never calls."""


def code_hash(stage: str) -> str:
    """Fingerprint of the modules that a stage runs: 16 hexadecimal digits.

    Args:
        stage: Name of a rule, which is the name of its script.
    """
    digest = hashlib.sha256()
    for module in sorted(stage_modules(stage)):
        path = _module_file(module)
        if path is not None:
            digest.update(f"{module}={_tree_hash(path)};".encode())
    return digest.hexdigest()[:16]


def stage_modules(stage: str) -> frozenset[str]:
    """Project modules that the script of a stage reaches by imports, at any depth.

    Raises:
        FileNotFoundError: The stage has no script.
    """
    unused = UNUSED.get(stage, frozenset())
    found: set[str] = set()
    stack = list(_imports(SCRIPTS / f"{stage}.py", module=""))
    while stack:
        module = stack.pop()
        if module in found or module in unused:
            continue
        path = _module_file(module)
        if path is None:
            continue
        found.add(module)
        package, _, _ = module.rpartition(".")
        stack.extend([package] if package else [])
        stack.extend(_imports(path, module=module))
    return frozenset(found)


def _module_file(module: str) -> Path | None:
    """File of a project module, or None for a name that is no module of the project."""
    top, *rest = module.split(".")
    if top not in PACKAGES:
        return None
    base = PACKAGES[top].joinpath(*rest)
    candidates = [base / "__init__.py"] + ([base.with_suffix(".py")] if rest else [])
    return next((path for path in candidates if path.is_file()), None)


@cache
def _imports(path: Path, *, module: str) -> tuple[str, ...]:
    return tuple(_walk_imports(ast.parse(path.read_bytes()), path, module))


def _walk_imports(tree: ast.Module, path: Path, module: str) -> Iterator[str]:
    """Dotted names that may be modules: ``from a import b`` gives ``a`` and ``a.b``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b.c` runs a, a.b and a.b.c
                parts = alias.name.split(".")
                yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def _tree_hash(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _drop_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    if ast.get_docstring(node, clean=False) is not None:
        # an empty body would not be valid Python, but it hashes as well as any
        node.body = node.body[1:]
