#!/usr/bin/env bash
# Resolves the dependencies of the service, the client and the tests into requirements.lock, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/cli"
grep -v '"carina-cli",' pyproject.toml > "$work/pyproject.toml"
cp cli/pyproject.toml "$work/cli/"
lock=$PWD/requirements.lock
uv=$PWD/.venv/bin/uv
cd "$work"
"$uv" pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
    pyproject.toml cli/pyproject.toml --group dev --output-file "$lock" "$@"
