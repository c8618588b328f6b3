#!/bin/sh
# Prints the path of a sqlite3 that can `.recover`: this machine's, where it can, else Debian 13's. That one is put
# into target/tools/sqlite3 with the libraries it needs, and nothing on the machine is changed. Quick when it is there.
set -eu

suite=trixie
root=$(cd "$(dirname "$0")/../.." && pwd)
place=${CARGO_TARGET_DIR:-$root/target}/tools/sqlite3
program=$place/bin/sqlite3

say() { echo "sqlite3.sh: $*" >&2; }

# A program that cannot says so, and prints no statement.
can() { "$1" "$place/probe.db" .recover 2>/dev/null | grep -q 'CREATE TABLE probe'; }

mkdir -p "$place"
# Several test processes may ask at once; the first one installs.
exec 9>"$place.lock"
flock 9
if [ ! -s "$place/probe.db" ]; then
    sqlite3 "$place/probe.db" 'CREATE TABLE probe (x)' || {
        say "sqlite3 is missing: install the package sqlite3 and run this again"
        exit 1
    }
fi
own=$(command -v sqlite3)
if can "$own"; then
    echo "$own"
    exit 0
fi
if [ -x "$program" ] && can "$program"; then
    echo "$program"
    exit 0
fi

for needed in apt-get dpkg-deb; do
    command -v "$needed" >/dev/null || {
        say "this machine's sqlite3 cannot .recover, and without $needed no other one can be fetched"
        exit 1
    }
done
# The mirror that this machine takes Debian from.
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
[ -n "$mirror" ] || {
    say "this machine's sqlite3 cannot .recover, and it knows no mirror of Debian (run apt-get update)"
    exit 1
}
say "fetching the sqlite3 of Debian $suite into $place"
rm -rf "$place/apt" "$place/root"
mkdir -p "$place/apt/lists/partial" "$place/apt/cache/archives/partial" "$place/apt/etc" "$place/root" "$place/bin"
: >"$place/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$place/apt/etc/sources.list"
# An apt of its own: lists, cache and sources lie in that folder.
apt() {
    apt-get -qq -o Dir::State="$place/apt" -o Dir::State::status="$place/apt/status" -o Dir::Cache="$place/apt/cache" \
        -o Dir::Etc::sourcelist="$place/apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User=root "$@" >&2
}
# With nothing installed, apt names everything that the program needs.
{ apt update && apt install -y --download-only --no-install-recommends sqlite3; } || {
    say "apt-get could not fetch the sqlite3 of Debian $suite"
    exit 1
}
for package in "$place"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$place/root"
done
rm -rf "$place/apt"
# Its own loader finds its own libraries, wherever the folder lies.
cat >"$program" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")/../root" && pwd)
libraries=$(echo "$root"/usr/lib/*-linux-gnu*)
exec "$(echo "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.*)" --library-path "$libraries" "$root/usr/bin/sqlite3" "$@"
WRAPPER
chmod +x "$program"
can "$program" || {
    say "the sqlite3 of Debian $suite does not run here, or cannot .recover either"
    exit 1
}
echo "$program"
