#!/usr/bin/env bash
# Writes generated/ from the .proto files, with protoc 3.21 and grpc_python_plugin
# 1.51 (Debian 12: protobuf-compiler, protobuf-compiler-grpc, libprotobuf-dev), the
# oldest runtime that this module supports. The result is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf generated
mkdir generated
mapfile -t files < <(cd proto && find . -name '*.proto' -printf '%P\n' | LC_ALL=C sort)
protoc -I proto --python_out=generated \
  --grpc_out=generated --plugin=protoc-gen-grpc="$(command -v grpc_python_plugin)" "${files[@]}"
# Files without a service get a stub that holds nothing.
grep -L 'class ' -r generated --include='*_pb2_grpc.py' | xargs -r rm
