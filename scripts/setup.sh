#!/usr/bin/env bash
# Makes .venv from requirements.lock, with Carina and its command line client in it. Does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

uv_version=0.13.9
wanted=$(cat requirements.lock pyproject.toml cli/pyproject.toml scripts/setup.sh | sha256sum)
if [ -x .venv/bin/carinad ] && [ "$(cat .venv/carina-setup 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

usable() {
    command -v "$1" >/dev/null && "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}
python=python3
if ! usable "$python"; then
    echo "Installing Python from Debian's packages"
    if [ "$(id -u)" != 0 ]; then
        echo "setup: python3 (3.11 or newer) with python3-venv is needed: run this as root, or install them." >&2
        exit 1
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y python3 python3-venv >/dev/null
    python=/usr/bin/python3
fi

echo "Setting up the Python environment"
rm -rf .venv
"$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check "uv==$uv_version"
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e . -e cli
.venv/bin/python -m compileall -q domain activities workflows drivers store api worker cli/carina_cli
echo "$wanted" > .venv/carina-setup
