#!/bin/sh
# Generates proto/gen from the .proto files. With --check it changes nothing and fails when they have
# drifted apart. BUF names the buf program; without it the one of tools/go.mod is built and used.
set -eu
cd "$(dirname "$0")"
if [ -z "${BUF:-}" ]; then
	if [ -x ../.cache/bin/buf ]; then
		BUF=$(cd .. && pwd)/.cache/bin/buf
	else
		BUF="go tool -modfile=$(cd ../tools && pwd)/go.mod buf"
	fi
fi
if [ "${1:-}" = --check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
	$BUF lint
	$BUF generate -o "$out"
	if ! diff -r gen "$out/gen"; then
		echo "proto/gen is not what the .proto files generate; run proto/generate.sh and commit the result" >&2
		exit 1
	fi
	exit 0
fi
$BUF generate
