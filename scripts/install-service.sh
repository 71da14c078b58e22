#!/usr/bin/env bash
# Installs a built attache as a systemd service: the program (scripts/install-program.sh), unit, user, and a first
# configuration. Run again, it brings the new version and leaves the configuration alone.
#
#   scripts/install-service.sh [PROGRAM]      (default: target/release/attache)
#   DESTDIR=FOLDER: puts the files there and starts nothing, for packages
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PROGRAM=${1:-target/release/attache}
readonly ROOT=${DESTDIR:-}

if [ -z "$ROOT" ]; then
  [ "$(id -u)" = 0 ] || { echo "a service is installed as root: sudo make install" >&2; exit 1; }
  command -v systemctl >/dev/null || { echo "this machine has no systemd; $PROGRAM serve runs by itself" >&2; exit 1; }
fi

scripts/install-program.sh "$PROGRAM"
install -D -m 644 packaging/attache.service "$ROOT/etc/systemd/system/attache.service"
install -D -m 644 packaging/attache.sysusers "$ROOT/usr/lib/sysusers.d/attache.conf"
if [ ! -e "$ROOT/etc/attache/attache.toml" ]; then
  install -D -m 644 packaging/attache.toml "$ROOT/etc/attache/attache.toml"
fi
[ -z "$ROOT" ] || exit 0

systemd-sysusers attache.conf
systemctl daemon-reload
systemctl enable --quiet attache
systemctl restart attache
echo "attache runs; journalctl -u attache tells what it does, /etc/attache/attache.toml what it is to do"
