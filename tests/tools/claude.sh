#!/bin/sh
# Installs the pinned Claude Code for the tests into target/tools/claude and prints the path of its true program.
# Quick when it is already there. No lock file is kept: it would carry the address it was fetched from.
set -eu

version=2.1.330
root=$(cd "$(dirname "$0")/../.." && pwd)
place=${CARGO_TARGET_DIR:-$root/target}/tools/claude
stamp=$place/installed-$version
case $(uname -m) in
aarch64 | arm64) cpu=arm64 ;;
*) cpu=x64 ;;
esac

say() { echo "claude.sh: $*" >&2; }

# The package holds a wrapper; the program is in the package of the platform.
program() {
    for found in "$place/node_modules/@anthropic-ai/claude-code-linux-$cpu/claude" \
        "$place/node_modules/@anthropic-ai/claude-code-linux-$cpu-musl/claude"; do
        if [ -x "$found" ] && [ "$(head -c 4 "$found" | tail -c 3)" = ELF ]; then
            echo "$found"
            return 0
        fi
    done
    return 1
}

if [ -e "$stamp" ] && program; then
    exit 0
fi

mkdir -p "$place"
# Several test processes may ask at once; the first one installs.
exec 9>"$place.lock"
flock 9
if [ -e "$stamp" ] && program; then
    exit 0
fi

if ! command -v npm >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "npm is missing: install Node.js with npm (for example: sudo apt-get install npm) and run this again"
        exit 1
    fi
    say "npm is missing, installing it with apt-get"
    { apt-get update && apt-get install -y --no-install-recommends npm; } >&2 || {
        say "apt-get could not install npm: install Node.js with npm by hand and run this again"
        exit 1
    }
fi

say "installing @anthropic-ai/claude-code@$version into $place"
rm -rf "$place"
mkdir -p "$place"
echo '{"private":true}' >"$place/package.json"
npm install --prefix "$place" --no-package-lock --no-audit --no-fund --loglevel=error "@anthropic-ai/claude-code@$version" >&2 || {
    say "npm could not install @anthropic-ai/claude-code@$version: is the npm registry reachable? (npm config get registry)"
    exit 1
}
program >/dev/null || {
    say "@anthropic-ai/claude-code@$version holds no program for this machine ($(uname -sm))"
    exit 1
}
touch "$stamp"
program
