#!/usr/bin/env bash
# Measures what the engines of noise suppression do to speech; prints the tables of docs/filters.md.
# Debian's packages give the voices, PyPI the measures; both go into target/quality, and nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly ATTACHE=${ATTACHE_BIN:-target/release/attache} FOLDER=target/quality
readonly VOICES=(alsa-utils asterisk-core-sounds-{en,es,fr,it,ru}-g722)

mkdir -p "$FOLDER/packages"
if [ ! -d "$FOLDER/packages/usr/share/asterisk" ]; then
    (cd "$FOLDER" && apt-get download -q "${VOICES[@]}")
    for package in "$FOLDER"/*.deb; do dpkg -x "$package" "$FOLDER/packages"; done
fi
[ -x "$FOLDER/python/bin/pip" ] || python3 -m venv "$FOLDER/python"
"$FOLDER/python/bin/pip" install -q --disable-pip-version-check -r benches/quality/requirements.txt
OMP_NUM_THREADS=1 "$FOLDER/python/bin/python" benches/quality/measure.py "$ATTACHE" "$FOLDER"
