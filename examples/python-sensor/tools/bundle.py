"""Copies every third-party package that the module imports, and the shared
libraries their extension modules need, so that the archive runs where there is
Python and nothing else.

usage: bundle.py SITE LIB      (with the module's folders on PYTHONPATH)
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# The C library has to be the machine's own: it belongs to its loader and kernel.
MACHINES_OWN = re.compile(
    r"(linux-vdso|linux-gate|ld-linux.*|libc|libm|libdl|libpthread|librt|libresolv|libutil|libanl|libnsl|libpython.*)\.so.*"
)


def third_party() -> dict[str, Path]:
    """Top-level packages, and those below the shared name `google`, that are not Python's or ours."""
    at_start = set(sys.modules)  # what this machine's site hooks loaded is no need of the module
    for extra in ("grpc_tools", "grpc_health", "grpc_reflection"):
        sys.modules[extra] = None  # grpc loads these when they happen to be installed; hide them
    import python_sensor.__main__  # noqa: F401
    import python_sensor.module  # noqa: F401

    stdlib = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    ours = Path(__file__).resolve().parent.parent
    found: dict[str, Path] = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name in at_start:
            continue
        path = Path(file).resolve()
        own = ours in path.parents and ".venv" not in path.parts
        if own or is_stdlib(path, stdlib):
            continue
        parts = name.split(".")
        top = parts[:2] if parts[0] == "google" else parts[:1]
        base = sys.modules.get(".".join(top))
        if base is not None and getattr(base, "__file__", None):
            origin = Path(base.__file__)
            found["/".join(top)] = origin.parent if origin.name == "__init__.py" else origin
    return found


def is_stdlib(path: Path, stdlib: set[Path]) -> bool:
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        return False
    return any(root in path.parents for root in stdlib)


def copy_package(name: str, origin: Path, site: Path) -> None:
    target = site / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_file():
        shutil.copyfile(origin, target.parent / origin.name)
        return
    ignore = shutil.ignore_patterns("__pycache__", "tests", "*.pyi", "*.pyx", "*.pxd")
    shutil.copytree(origin, target, ignore=ignore, symlinks=False)


def needed_libraries(extension: Path) -> dict[str, Path]:
    """What the dynamic loader finds for an extension module, by the name it asks for."""
    listing = subprocess.run(["ldd", str(extension)], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r"^\s*(\S+) => not found", listing, re.MULTILINE)
    if missing:
        sys.exit(f"bundle.py: {extension.name} needs {', '.join(missing)}, which this machine has not")
    pairs = re.findall(r"^\s*(\S+) => (/\S+)", listing, re.MULTILINE)
    return {name: Path(path) for name, path in pairs if not MACHINES_OWN.fullmatch(name)}


def main(site: Path, lib: Path) -> None:
    site.mkdir(parents=True, exist_ok=True)
    lib.mkdir(parents=True, exist_ok=True)
    packages = third_party()
    for name, origin in packages.items():
        copy_package(name, origin, site)
    libraries: dict[str, Path] = {}
    for extension in sorted(site.rglob("*.so")):
        libraries.update(needed_libraries(extension))
    for name, origin in libraries.items():
        # A plain file under the name the loader asks for: no links in the archive.
        shutil.copyfile(origin.resolve(), lib / name)
    print(f"bundled {', '.join(packages)} and {len(libraries)} shared libraries")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
