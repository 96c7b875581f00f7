#!/usr/bin/env bash
# Builds dist/archive.tar.gz for the platform it runs on: the program, every
# package it imports, and the shared libraries those need. On the machine only
# Python itself, of the same minor version, has to be there.
set -euo pipefail
cd "$(dirname "$0")"
python=.venv/bin/python
if [[ ! -x $python ]]; then
  echo "build.sh: .venv is missing; run ./setup.sh first" >&2
  exit 1
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=.:generated

rm -rf dist
stage=dist/stage
mkdir -p "$stage/app"
cp -r python_sensor generated/viam generated/reflection "$stage/app/"
find "$stage/app" -name __pycache__ -prune -exec rm -rf {} +
"$python" tools/bundle.py "$stage/site" "$stage/lib"
"$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$stage/python-version"
cp run.sh meta.json README.md "$stage/"

# Same files, same bytes: sorted, owned by nobody in particular, one time for all.
tar --create --directory "$stage" --format=gnu --sort=name \
  --owner=0 --group=0 --numeric-owner --mode='u+rwX,go+rX,go-w' \
  --mtime="@${SOURCE_DATE_EPOCH:-0}" \
  README.md app lib meta.json python-version run.sh site | gzip -n >dist/archive.tar.gz
rm -rf "$stage"
ls -l dist/archive.tar.gz
