#!/usr/bin/env bash
# Makes sure that what the build needs is there; installs nothing.
set -euo pipefail

missing=()
for program in make tar gzip "${CC:-cc}"; do
  command -v "${program%% *}" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
  echo "setup.sh: not installed: ${missing[*]}; try: apt-get install build-essential" >&2
  exit 1
fi
"${CC:-cc}" --version | sed -n 1p
