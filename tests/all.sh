#!/usr/bin/env bash
# All tests: installs what is missing, then `cargo test --all-features` with the arguments given here.
#
# The stock clients need Node and npm, the page needs Chromium, the cases of Autobahn need Python. On a
# machine without them their tests are skipped, loudly; with CI set, that is a failure.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()

lack() {
    missing+=("$1")
    printf '\n*** SKIPPED: %s\n*** %s\n\n' "$1" "$2" >&2
}

clients() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        lack "the tests with atmosphere.js and with the page" "Node 20 or later and npm are not on the PATH."
        return
    fi
    local major
    major=$(node --print 'process.versions.node.split(".")[0]')
    if ((major < 20)); then
        lack "the tests with atmosphere.js and with the page" "Node 20 or later is needed; this is $(node --version)."
        return
    fi
    local installed=tests/clients/node_modules/.package-lock.json
    if [[ ! -e $installed || tests/clients/package-lock.json -nt $installed ]]; then
        echo "installing the npm packages of tests/clients"
        if ! npm ci --prefix tests/clients --no-fund --no-audit --ignore-scripts </dev/null; then
            lack "the tests with atmosphere.js and with the page" "npm ci failed in tests/clients."
            return
        fi
        touch "$installed"
    fi
}

browser() {
    local name
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
        if [[ -n $name ]] && command -v "$name" >/dev/null; then
            CHROMIUM=$(command -v "$name")
            export CHROMIUM
            return
        fi
    done
    return 1
}

chromium() {
    browser && return
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        echo "installing Chromium"
        if apt-get update -qq </dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium </dev/null >/dev/null; then
            browser && return
        fi
    fi
    lack "the tests with the page" "There is no Chromium, and it could not be installed: that takes root and apt-get. CHROMIUM may name one."
}

# A program of Python's, in an environment of its own: what it is for, its package and version, and what
# else to install.
python() {
    local what=$1 package=$2 version=$3
    shift 3
    local home=${CARGO_TARGET_DIR:-target}/$package-$version
    [[ -x $home/bin/pip && -e $home/installed ]] && return
    echo "installing $package from PyPI"
    if ! { python3 -m venv --clear "$home" && "$home/bin/pip" install --quiet "$package==$version" "$@"; } </dev/null; then
        rm -rf "$home"
        lack "$what" "$package $version could not be installed: that takes Python 3.10 or later, with venv."
        return
    fi
    touch "$home/installed"
}

proxies() {
    local name
    for name in nginx haproxy; do
        command -v "$name" >/dev/null && continue
        if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
            echo "installing $name"
            if apt-get update -qq </dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$name" </dev/null >/dev/null; then
                command -v "$name" >/dev/null && continue
            fi
        fi
        lack "the tests with $name" "There is none, and it could not be installed: that takes root and apt-get."
    done
}

# What Prometheus itself says of our metrics and rules.
promtool() {
    type -P promtool >/dev/null && return
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        echo "installing prometheus"
        if apt-get update -qq </dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends prometheus </dev/null >/dev/null; then
            type -P promtool >/dev/null && return
        fi
    fi
    lack "the checks of the metrics by promtool" "There is none, and it could not be installed: that takes root and apt-get."
}

clients
chromium
python "the cases of Autobahn" kosoku 0.1.0
python "the requests that the API's description allows" schemathesis 4.32.5 openapi-spec-validator==0.9.0
proxies
promtool

if ((${#missing[@]} > 0)) && [[ -n ${CI:-} ]]; then
    echo "*** CI is set, so that nothing may be skipped." >&2
    exit 1
fi

cargo test --all-features "$@"

for what in "${missing[@]}"; do
    printf '*** NOT RUN: %s\n' "$what" >&2
done
