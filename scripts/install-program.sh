#!/usr/bin/env bash
# Installs a built attache as a program that works from any folder: itself, the descriptions, the pages to read.
#
#   scripts/install-program.sh [PROGRAM]      (default: target/release/attache)
#   DESTDIR=FOLDER: puts the files there, for packages
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PROGRAM=${1:-target/release/attache}
readonly ROOT=${DESTDIR:-}

[ -x "$PROGRAM" ] || { echo "there is no program $PROGRAM: build it with cargo build --release --locked" >&2; exit 1; }
[ -n "$ROOT" ] || [ "$(id -u)" = 0 ] || { echo "a program is installed for everybody as root: sudo $0" >&2; exit 1; }

install -D -m 755 "$PROGRAM" "$ROOT/usr/local/bin/attache"
install -d -m 755 "$ROOT/usr/share/attache" "$ROOT/usr/share/doc/attache"
cp -r --no-preserve=ownership pipelines "$ROOT/usr/share/attache/"
cp --no-preserve=ownership docs/*.md attache.example.toml LICENSE-* models/nsnet2-48k.LICENSE "$ROOT/usr/share/doc/attache/"
