#!/bin/sh
# Installs a pinned coding agent for the tests into target/tools/NAME and prints the path of its true program:
#
#   npm.sh opencode | claude | codex | qwen | claude-acp
#
# Quick when it is already there. No lock file is kept: it would carry the address it was fetched from.
set -eu

name=${1:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
place=${CARGO_TARGET_DIR:-$root/target}/tools/$name
case $(uname -m) in
aarch64 | arm64) cpu=arm64 musl=aarch64-unknown-linux-musl ;;
*) cpu=x64 musl=x86_64-unknown-linux-musl ;;
esac

say() { echo "npm.sh: $*" >&2; }

# The package holds a wrapper or a text; the program is in the package of the platform. Some are scripts that node runs, and
# bring along for a platform what they can do without.
is_script=
case $name in
opencode)
    package=opencode-ai version=1.18.33
    # The install step links the right program for this machine as opencode.exe, where npm runs install steps.
    places="opencode-ai/bin/opencode.exe opencode-linux-$cpu/bin/opencode opencode-linux-$cpu-baseline/bin/opencode"
    ;;
claude)
    package=@anthropic-ai/claude-code version=2.1.330
    places="@anthropic-ai/claude-code-linux-$cpu/claude @anthropic-ai/claude-code-linux-$cpu-musl/claude"
    ;;
codex)
    package=@openai/codex version=0.169.0
    places="@openai/codex-linux-$cpu/vendor/$musl/bin/codex"
    ;;
qwen)
    package=@qwen-code/qwen-code version=0.24.4 is_script=yes
    places="@qwen-code/qwen-code/cli-entry.js"
    ;;
claude-acp)
    # It is told which Claude Code to use, and needs none of its own.
    package=@agentclientprotocol/claude-agent-acp version=0.101.0 is_script=yes
    places="@agentclientprotocol/claude-agent-acp/dist/index.js"
    ;;
*)
    say "usage: npm.sh opencode | claude | codex | qwen | claude-acp"
    exit 2
    ;;
esac
stamp=$place/installed-$version

program() {
    for found in $places; do
        found=$place/node_modules/$found
        start=$(head -c 4 "$found" 2>/dev/null | tail -c 3 | tr -d '\0')
        if [ -x "$found" ] && { [ "$start" = ELF ] || [ -n "$is_script" ]; }; then
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

say "installing $package@$version into $place"
rm -rf "$place"
mkdir -p "$place"
echo '{"private":true}' >"$place/package.json"
npm install --prefix "$place" ${is_script:+--omit=optional} --no-package-lock --no-audit --no-fund --loglevel=error "$package@$version" >&2 || {
    say "npm could not install $package@$version: is the npm registry reachable? (npm config get registry)"
    exit 1
}
program >/dev/null || {
    say "$package@$version holds no program for this machine ($(uname -sm))"
    exit 1
}
touch "$stamp"
program
