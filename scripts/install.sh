#!/usr/bin/env bash
# Installs the service, and what it needs in the versions of requirements.lock, into the virtual environment named.
set -euo pipefail
environment=$(realpath "$1")
cd "$(dirname "$0")/.."
uv_version=0.13.9
"$environment/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
export VIRTUAL_ENV="$environment"
uv() { "$environment/bin/uv" pip install --quiet --constraint requirements.lock "$@"; }
uv hatchling
uv --no-build-isolation --compile-bytecode .
"$environment/bin/uv" pip uninstall --quiet hatchling uv
