"""Ends with 0 when the running Python has what requirements.txt names, and with 1,
saying what is missing, when it has not. Needs neither pip nor a package index."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def missing(line: str) -> str:
    name, rules = re.match(r"([\w.-]+)(.*)", line).groups()
    try:
        have = numbers(metadata.version(name))
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    for sign, bound in re.findall(r"(>=|<)([\d.]+)", rules):
        if (have >= numbers(bound)) != (sign == ">="):
            return f"{name} is {'.'.join(map(str, have))}, want {sign}{bound}"
    return ""


def main() -> int:
    lines = (Path(__file__).parent.parent / "requirements.txt").read_text().split()
    faults = [fault for fault in map(missing, lines) if fault]
    if faults:
        print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
