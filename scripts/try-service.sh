#!/usr/bin/env bash
# Does to a kiosk under systemd what happens to one in years, during one call: its network cable is pulled, its camera
# unplugged, its server upgraded, its worker killed. Says in the end whether it is still in that call. Needs to be root.
#
#   scripts/try-service.sh [PROGRAM [PLUGIN]]
#       PROGRAM: default target/release/attache; PLUGIN: the stand-ins of tests/standins, one of which is a camera to unplug,
#       default target/release/examples/libstandins.so (cargo build --release --locked --example standins)
#
# This machine's own system is booted in a container, over a layer in memory that is forgotten: nothing is changed here.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LIMIT_S=60
# The container and its recorder have a network of their own, so that these addresses are nobody else's.
readonly OUTSIDE=10.77.0.1 KIOSK=10.77.0.2 PORT=8443 CABLE=ve-kiosk

fail() { printf 'NO: %s\n' "$*" >&2; exit 1; }
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

program=$(realpath "${1:-target/release/attache}")
plugin=$(realpath "${2:-target/release/examples/libstandins.so}")
[ "$(id -u)" = 0 ] || { echo "a container needs root: sudo $0" >&2; exit 2; }
for file in "$program" "$plugin"; do
    [ -e "$file" ] || { echo "there is no $file: cargo build --release --locked --bins --example standins" >&2; exit 2; }
done
scripts/install-dependencies.sh service
# Whatever runs, is mounted or has an address below is gone with this process.
if [ -z "${PLACE:-}" ]; then
    PLACE=$(mktemp -d)
    trap 'rmdir "$PLACE"' EXIT
    PLACE=$PLACE unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$program" "$plugin"
    exit
fi

mount -t tmpfs none "$PLACE"
mkdir "$PLACE/changes" "$PLACE/work" "$PLACE/root" "$PLACE/recordings"
mount -t overlay overlay -o "lowerdir=/,upperdir=$PLACE/changes,workdir=$PLACE/work" "$PLACE/root"
readonly ROOT=$PLACE/root
# While this file is there, the camera is plugged in.
readonly CAMERA=$ROOT/opt/stand-ins/camera

install_attache() { DESTDIR=$ROOT scripts/install-service.sh "$program"; }

configure() {
    rm -f "$ROOT/etc/machine-id" "$ROOT/etc/attache/attache.toml"
    install -D -m 644 "$plugin" "$ROOT/opt/stand-ins/libstandins.so"
    echo works >"$CAMERA"
    mkdir -p "$ROOT/etc/attache" "$ROOT/etc/systemd/system/attache.service.d"
    # The default configuration would make it an authority's, which no server may have.
    openssl req -config <(printf '[req]\ndistinguished_name = name\n[name]\n') -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 2 -subj /CN=kiosk -addext "subjectAltName=IP:$KIOSK,IP:127.0.0.1" \
        -keyout "$ROOT/etc/attache/key.pem" -out "$ROOT/etc/attache/certificate.pem" 2>/dev/null
    openssl rand -base64 32 >"$ROOT/etc/attache/api-token"
    openssl rand -base64 32 >"$ROOT/etc/attache/room-key"
    cat >"$ROOT/etc/attache/attache.toml" <<END
[server]
listen = "0.0.0.0:$PORT"
[tls]
certificate = "/etc/attache/certificate.pem"
key = "/etc/attache/key.pem"
[auth]
api_token_file = "/etc/attache/api-token"
room_key_file = "/etc/attache/room-key"
[admission]
enabled = false
[jobs]
recordings = "/var/lib/attache/recordings"
[[kiosk]]
room = "lobby"
description = "kiosk"
parameters = { width = 320, height = 180, microphone = "none", display = "none", speaker = "none" }
END
    cat >"$ROOT/etc/systemd/system/attache.service.d/trial.conf" <<END
[Service]
Environment=GST_PLUGIN_PATH=/opt/stand-ins ATTACHE_STANDIN_camera=/opt/stand-ins/camera
END
    chmod 600 "$ROOT"/etc/attache/*
}

boot() {
    # Nothing but what every system has is started, whatever this machine does else.
    systemd-nspawn --directory="$ROOT" --register=no --keep-unit --network-veth --machine=kiosk \
        --boot systemd.unit=basic.target </dev/null >"$PLACE/boot" 2>&1 &
    local container=$!
    until leader=$(pgrep --parent "$container" --exact systemd) && [ -S "/proc/$leader/root/run/systemd/private" ]; do
        kill -0 "$container" 2>/dev/null || { cat "$PLACE/boot" >&2; fail "the container does not boot"; }
        sleep 0.1
    done
    ip link set lo up
    ip address add "$OUTSIDE/24" dev "$CABLE"
    ip link set "$CABLE" up
    inside ip link set host0 up
    inside ip address add "$KIOSK/24" dev host0
    # It says "degraded" where a unit of this machine finds nothing to do in a container.
    inside systemctl is-system-running --wait >/dev/null || true
}

inside() { nsenter --target "$leader" --mount --uts --ipc --net --pid "$@"; }

# kiosk PYTHON: what it is of the kiosk's job, as the server in the container shows it.
kiosk() {
    inside env ATTACHE_API_TOKEN="$(cat "$ROOT/etc/attache/api-token")" \
        curl --silent --max-time 5 --cacert /etc/attache/certificate.pem --header "Authorization: Bearer $(cat "$ROOT/etc/attache/api-token")" \
        "https://127.0.0.1:$PORT/api/v1/jobs" |
        python3 -c "import json, sys; kiosk = json.load(sys.stdin)['jobs'][0]; print($1)" 2>/dev/null
}

# What was recorded of the kiosk's picture, in milliseconds: all its visits together.
recorded() {
    python3 - "$PLACE/events" <<'END'
import json, sys
files = {}
for line in open(sys.argv[1]):
    try: event = json.loads(line)
    except ValueError: continue
    for file in event.get("recordings", [event] if "duration_ms" in event else []):
        files[file["file"]] = file["duration_ms"]
print(sum(files.values()))
END
}

# until WHAT COMMAND...: waits until the command succeeds.
until_true() {
    local what=$1 end=$((SECONDS + LIMIT_S))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited $LIMIT_S s until $what"
        sleep 0.2
    done
}

kiosk_is() { [ "$(kiosk "$1")" = True ]; }
has_recorded() {
    kill -0 "$recorder" 2>/dev/null || { tail -n 20 "$PLACE/recorder" >&2; fail "the recorder has ended"; }
    [ "$(recorded)" -ge "$1" ]
}
# What was away is filled up by the first that comes again; three seconds more are not.
goes_on() {
    until_true "the call is recorded again" has_recorded $(($(recorded) + 1))
    until_true "it is recorded on" has_recorded $(($(recorded) + 3000))
    say "   it is still in the call, and recorded"
}

install_attache
configure
boot
say "systemd has booted; attache starts"
# Its user was made when the container booted.
inside chown -R attache: /etc/attache
inside systemctl start attache || { inside journalctl -u attache --no-pager >&2; fail "the service does not start"; }
until_true "the kiosk is in its room" kiosk_is "kiosk['state'] == 'joined'"
readonly TOKEN=$("$program" token --room lobby --allow join,send,record --key-file "$ROOT/etc/attache/room-key")
ATTACHE_TOKEN=$TOKEN "$program" record --join "https://$KIOSK:$PORT/r/lobby" --ca "$ROOT/etc/attache/certificate.pem" \
    --pipelines pipelines --out "$PLACE/recordings" --json >"$PLACE/events" 2>"$PLACE/recorder" &
recorder=$!
until_true "the call is recorded" has_recorded 3000
say "a recorder on another machine is in a call with the kiosk"

# All that is told of what was done so far is taken from the server of that time: a worker's counters end with it.
say "its network cable is pulled for 5 s"
ip link set "$CABLE" down
until_true "the kiosk notices" kiosk_is "kiosk.get('stalls', {}).get('network', 0) >= 1"
sleep 5
ip link set "$CABLE" up
goes_on

say "its camera is unplugged, and plugged in"
rm "$CAMERA"
until_true "the kiosk notices" kiosk_is "kiosk['lost'][0]['device'] == 'camera'"
goes_on
echo works >"$CAMERA"
until_true "the kiosk has it back" kiosk_is "not kiosk.get('lost')"
goes_on

say "its server is upgraded"
worker=$(kiosk "kiosk['pid']")
server=$(inside systemctl show --property=MainPID --value attache)
install_attache
inside systemctl daemon-reload
inside systemctl restart attache
until_true "the next server finds the kiosk" kiosk_is "kiosk['state'] == 'joined'"
[ "$(inside systemctl show --property=MainPID --value attache)" != "$server" ] || fail "the server is still the same"
[ "$(kiosk "kiosk['pid']")" = "$worker" ] || fail "the kiosk's worker did not outlive its server"
goes_on

say "its worker is killed"
inside kill -KILL "$worker"
until_true "the kiosk is back" kiosk_is "kiosk['state'] == 'joined' and kiosk['restarts'] == 1"
goes_on

[ "$(inside systemctl show --property=NRestarts --value attache)" = 0 ] || fail "systemd had to start the service again"
kill -TERM "$recorder"
wait "$recorder" || fail "the recorder did not end well"
[ "$(find "$PLACE/recordings" -name recording.json | wc -l)" = 1 ] || fail "it is not one recording"
inside systemctl stop attache
inside journalctl -u attache -p warning -o cat --no-pager | sed 's/^/   | /'
say "YES: it is one call and one recording, of $(($(recorded) / 1000)) s"
