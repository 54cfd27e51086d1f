"""Write a lock file: the exact versions of everything that the project needs.

The versions are those of the running environment; the packages are the closure of the
project's dependencies, its extras and its build requirements as pyproject.toml names them.
Run it through ``make lock``.
"""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# Exact versions of everything the project needs, made by `make lock` (setup/lock.py): the
# closure of pyproject.toml's dependencies, extras and build requirements, with the versions
# of the environment that ran the tests. pip picks the build of torch that suits the machine,
# and with it the CUDA libraries, which are therefore not listed.
"""

# These come with torch's CUDA build alone, in the versions that it asks for.
CUDA = re.compile(r"nvidia-|cuda-|triton")


def read_requirements(pyproject: Path) -> list[Requirement]:
    """Return the direct requirements, extras and build system included."""
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = content["project"]
    lines = [*content["build-system"]["requires"], *project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines.extend(extra)
    return [Requirement(line) for line in lines]


def pin_closure(requirements: list[Requirement]) -> dict[str, str]:
    """Return name -> version for the requirements and all that they need, recursively.

    Raises:
        PackageNotFoundError: If the environment lacks one of the packages.
    """
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if CUDA.match(name):
            continue
        package = distribution(name)
        # A local suffix such as +cpu names one build, which other machines cannot install.
        pins[name] = package.version.partition("+")[0]
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            children = [Requirement(line) for line in package.requires or []]
            pending.extend(
                child
                for child in children
                if child.marker is None or child.marker.evaluate({"extra": extra})
            )
    return pins


def main() -> int:
    """Write the lock file to standard output."""
    try:
        pins = pin_closure(read_requirements(Path("pyproject.toml")))
    except PackageNotFoundError as error:
        sys.stderr.write(f"error: {error.name} is not installed here; run `make setup` first\n")
        return 1
    sys.stdout.write(HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
