#!/usr/bin/env bash
# Makes .venv with what requirements.txt names. Where the system's own packages
# satisfy it (Debian: python3-grpcio, python3-protobuf), no package index is asked.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}

rm -rf .venv
if "$python" tools/satisfied.py; then
  # Copies, not links: the folder survives being moved or packed.
  "$python" -m venv --copies --system-site-packages --without-pip .venv
  echo "the system's packages satisfy requirements.txt"
else
  "$python" -m venv --copies --system-site-packages .venv
  .venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt
fi
.venv/bin/python -c 'import grpc, google.protobuf as p; print("grpcio", grpc.__version__, "protobuf", p.__version__)'
