#!/usr/bin/env bash
# Installs what attache needs and the machine does not have: Debian and Ubuntu packages, a Rust
# toolchain. Elsewhere it names what is missing. Does nothing, quickly, where nothing is missing.
#
#   scripts/install-dependencies.sh [build] [run] [test] [bench] [debian13] [service]      (no argument: build run)
set -euo pipefail
cd "$(dirname "$0")/.."

# group, Debian package, how to see that it is there:
#   command:NAME  a program on the PATH, whoever installed it
#   module:NAME   a pkg-config module
#   element:NAME  a GStreamer element
#   font:NAME     a font
#   -             only asked of Debian
readonly NEEDS='
build gcc                              command:cc
build libc6-dev                        -
build make                             command:make
build pkg-config                       command:pkg-config
build ca-certificates                  -
build libgstreamer1.0-dev              module:gstreamer-1.0
build libgstreamer-plugins-base1.0-dev module:gstreamer-video-1.0
build libgstreamer-plugins-bad1.0-dev  module:gstreamer-webrtc-1.0
run   gstreamer1.0-plugins-base        element:compositor
run   gstreamer1.0-plugins-good        element:vp8enc
run   gstreamer1.0-plugins-bad         element:webrtcbin
run   gstreamer1.0-plugins-ugly        element:x264enc
run   gstreamer1.0-libav               element:avdec_h264
run   gstreamer1.0-nice                element:nicesrc
run   gstreamer1.0-x                   element:textoverlay
run   gstreamer1.0-alsa                element:alsasrc
run   gstreamer1.0-pulseaudio          element:pulsesrc
run   gstreamer1.0-pipewire            element:pipewiresrc
run   glib-networking                  -
run   fonts-dejavu-core                font:DejaVu
test  nodejs                           command:node
test  npm                              command:npm
test  chromium                         command:chromium
test  systemd                          command:systemd-analyze
test  coturn                           command:turnserver
test  iproute2                         command:ip
test  iptables                         command:iptables
test  conntrack                        command:conntrack
test  ffmpeg                           command:ffmpeg
test  espeak-ng                        command:espeak-ng
test  python3-gi                       -
test  gir1.2-gst-rtsp-server-1.0       -
test  xvfb                             command:Xvfb
test  prometheus                       command:promtool
bench gstreamer1.0-tools               command:gst-launch-1.0
bench python3-venv                     -
bench python3-dev                      -
debian13 debootstrap                   command:debootstrap
service systemd-container             command:systemd-nspawn
service openssl                       command:openssl
service curl                          command:curl
service python3                       command:python3
service iproute2                      command:ip
'

rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
readonly rust_needed

fail() {
    printf 'install-dependencies: %s\n' "$*" >&2
    exit 1
}

at_least() { # at_least WANTED FOUND: is version FOUND as new as WANTED?
    [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

debian() { [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }

# Prints "PACKAGE PROBE" for every need of the groups given.
needs() {
    local group
    for group in "$@"; do
        grep -q "^$group " <<<"$NEEDS" || fail "no group of packages is called '$group': use build, run, test, bench, debian13 or service"
        awk -v group="$group" '$1 == group { print $2, $3 }' <<<"$NEEDS"
    done
}

found_by_probe() {
    case $1 in
        module:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
        element:*) gst-inspect-1.0 --exists "${1#*:}" 2>/dev/null ;;
        font:*) fc-list 2>/dev/null | grep -q "${1#*:}" ;;
        -) true ;;
        *) fail "the table of needs has a probe '$1' that is not known" ;;
    esac
}

# Reads "PACKAGE PROBE" lines, prints those that this machine does not have.
missing() {
    local package probe installed=
    if debian; then installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' 2>/dev/null); fi
    while read -r package probe; do
        if [ "$package" = chromium ] && [ -x "${CHROMIUM_BIN-}" ]; then continue; fi
        case $probe in
            command:*) command -v "${probe#*:}" >/dev/null && continue ;;
            *)
                if debian; then
                    grep -qx "$package installed" <<<"$installed" && continue
                else
                    found_by_probe "$probe" && continue
                fi
                ;;
        esac
        printf '%s %s\n' "$package" "$probe"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "need to be root for: $* (or install sudo)"
    fi
}

apt_updated=no
apt_update() {
    [ "$apt_updated" = yes ] && return
    as_root apt-get update -qq
    apt_updated=yes
}

# --no-remove: whatever is on this machine stays; a conflict is for its owner to settle.
apt_install() {
    echo "installing: $*"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends --no-remove "$@" </dev/null
}

install_packages() {
    local lines packages
    lines=$(needs "$@" | missing)
    [ -n "$lines" ] || return 0
    if ! debian; then
        {
            echo "This is neither Debian nor Ubuntu, so please install what pkg-config and gst-inspect-1.0 do not find:"
            awk '{ sub(":", " ", $2); print "  " $2 "   (Debian has it in " $1 ")" }' <<<"$lines"
        } >&2
        exit 1
    fi
    packages=$(awk '{ print $1 }' <<<"$lines")
    if grep -qx chromium <<<"$packages"; then
        apt_update
        [ -n "$(apt_candidate chromium)" ] || fail "there is no package chromium (Ubuntu has only a snap, which tests cannot drive):
    install Chrome or Chromium, and name the program in CHROMIUM_BIN"
    fi
    # Debian starts these on every address as soon as they are there; the tests start their own, on loopback, or need
    # a tool of the package only.
    local service
    for service in coturn prometheus; do
        if grep -qx "$service" <<<"$packages" && [ -d /run/systemd/system ]; then
            echo "$service's system service is masked; 'systemctl unmask $service' brings it back"
            as_root systemctl mask --quiet "$service.service"
        fi
    done
    # shellcheck disable=SC2086 # one word for each package
    apt_install $packages
}

rust_found() { # the version of the Rust compiler in use, or nothing
    command -v cargo >/dev/null && rustc --version 2>/dev/null | awk '{ sub("-.*", "", $2); print $2 }'
}

apt_candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9][0-9.]*\).*/\1/p'; }

install_rust() {
    local found package
    found=$(rust_found || true)
    if [ -n "$found" ] && at_least "$rust_needed" "$found"; then return; fi
    if [ -z "$found" ] && debian; then
        apt_update
        # Debian keeps a current compiler for its browsers in cargo-web and rustc-web.
        for package in cargo cargo-web; do
            if at_least "$rust_needed" "$(apt_candidate $package)"; then
                apt_install $package
                return
            fi
        done
        # Ubuntu, where the distribution's own compiler is too old.
        if [ -n "$(apt_candidate rustup)" ]; then
            apt_install rustup
            rustup toolchain install stable --profile minimal --component clippy --component rustfmt
            rustup default stable
            return
        fi
    fi
    fail "Rust ${found:-(none)} found, $rust_needed or newer needed. Install it with rustup, which needs no root:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
or, where rustup is there already: rustup update stable"
}

if [ $# -eq 0 ]; then set -- build run; fi
install_packages "$@"
case " $* " in *" build "*) install_rust ;; esac
