#!/usr/bin/env bash
# Builds dist/archive.tar.gz for GOOS/GOARCH (a farm sets them and VIAM_BUILD_*),
# by default for this machine. Nothing here runs what it built, so it cross-compiles.
set -euo pipefail
cd "$(dirname "$0")"

export GOOS="${GOOS:-${VIAM_BUILD_OS:-$(go env GOOS)}}"
export GOARCH="${GOARCH:-${VIAM_BUILD_ARCH:-$(go env GOARCH)}}"
export CGO_ENABLED=0

rm -rf dist
mkdir -p dist/stage/bin
echo "building for $GOOS/$GOARCH"
# -buildvcs=false: the same source gives the same bytes, in a checkout or out of one.
go build -trimpath -buildvcs=false -ldflags='-s -w' -o dist/stage/bin/go-sensor .
cp meta.json README.md dist/stage/

# Same files, same bytes: sorted, owned by nobody in particular, one time for all.
tar --create --directory dist/stage --format=gnu --sort=name \
  --owner=0 --group=0 --numeric-owner --mode='u+rwX,go+rX,go-w' \
  --mtime="@${SOURCE_DATE_EPOCH:-0}" \
  bin README.md meta.json | gzip -n -9 >dist/archive.tar.gz
rm -rf dist/stage
ls -l dist/archive.tar.gz
