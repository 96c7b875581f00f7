#!/usr/bin/env bash
# Runs the module from this checkout, for trying it by hand:
#   ./run.sh --once --url=http://host/climate.json
#   ./run.sh /tmp/go-sensor.sock
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

go build -C "$here" -trimpath -buildvcs=false -o bin/go-sensor .
exec "$here/bin/go-sensor" "$@"
