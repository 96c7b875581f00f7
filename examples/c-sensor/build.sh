#!/usr/bin/env bash
# Builds dist/archive.tar.gz with $CC, which a farm sets when it cross-compiles.
# Nothing here runs what it built.
set -euo pipefail
cd "$(dirname "$0")"

# Objects of another platform may lie about: every build starts afresh.
make clean
make "-j$(nproc)" all

mkdir -p dist/stage/bin
cp build/c-sensor dist/stage/bin/
cp run.sh meta.json README.md dist/stage/

# Same files, same bytes: sorted, owned by nobody in particular, one time for all.
tar --create --directory dist/stage --format=gnu --sort=name \
  --owner=0 --group=0 --numeric-owner --mode='u+rwX,go+rX,go-w' \
  --mtime="@${SOURCE_DATE_EPOCH:-0}" \
  bin README.md meta.json run.sh | gzip -n -9 >dist/archive.tar.gz
rm -rf dist/stage
ls -l dist/archive.tar.gz
