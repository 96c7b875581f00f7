#!/usr/bin/env bash
# Fetches what the build needs: the Go modules named in go.sum.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v go >/dev/null; then
  echo "setup.sh: go is not installed; use the farm's builder image, or see https://go.dev/dl/" >&2
  exit 1
fi
go version
go mod download
