#!/usr/bin/env bash
# Writes viampb/ from the .proto files. Needs protoc, protoc-gen-go and
# protoc-gen-go-grpc; the result is committed, so a build never runs this.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf viampb
mapfile -t files < <(cd proto && find viam -name '*.proto' | LC_ALL=C sort)
# Both robot.proto files would become viampb/robot.pb.go: each proto package gets
# its own run and its own name.
for file in "${files[@]}"; do
  out=$(mktemp -d)
  protoc -I proto --go_out="$out" --go_opt=module=example.com/modules/api/v1 \
    --go-grpc_out="$out" --go-grpc_opt=module=example.com/modules/api/v1 "$file"
  package=$(dirname "$file")           # viam/app/v1
  prefix=$(tr / _ <<<"${package#viam/}") # app_v1
  mkdir -p viampb
  for made in "$out"/viampb/*.go; do
    mv "$made" "viampb/${prefix}_$(basename "$made")"
  done
  rm -rf "$out"
done
