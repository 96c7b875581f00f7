#!/usr/bin/env bash
# The module's entry point: ./run.sh <socket path>, or ./run.sh --once.
# Works in an unpacked archive (bin/) and in a checkout after `make` (build/).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

for program in "$here/bin/c-sensor" "$here/build/c-sensor"; do
  if [[ -x $program ]]; then
    exec "$program" "$@"
  fi
done
echo "run.sh: c-sensor is not built; run make first" >&2
exit 1
