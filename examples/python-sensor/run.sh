#!/usr/bin/env bash
# The module's entry point: ./run.sh <socket path>, or ./run.sh --once --url=…
# Works in an unpacked archive and, after ./setup.sh, in a checkout.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONDONTWRITEBYTECODE=1

if [[ -d $here/site ]]; then
  MODULE_PYTHON=$(<"$here/python-version")
  export MODULE_PYTHON
  export PYTHONPATH="$here/app:$here/site"
  # The bundled packages' own libraries; the C library stays the machine's.
  export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  exec "${PYTHON:-python3}" -m python_sensor "$@"
fi
export PYTHONPATH="$here:$here/generated"
exec "$here/.venv/bin/python" -m python_sensor "$@"
