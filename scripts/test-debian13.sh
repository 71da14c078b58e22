#!/usr/bin/env bash
# Builds attache in a Debian 13 of its own and runs the Rust tests there, against GStreamer 1.26. Needs to be root, 12 GB
# of disk, and debootstrap; leaves nothing on the machine but the tree.
#
#   scripts/test-debian13.sh [ARGUMENTS]     arguments of cargo test; without, everything is tested
#   TREE=FOLDER: where Debian 13 is installed (default: target/debian13); the next run goes on with it
#   MIRROR=URL: where it comes from (default: http://deb.debian.org)
set -euo pipefail
cd "$(dirname "$0")/.."

readonly MIRROR=${MIRROR:-http://deb.debian.org}
readonly KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root: sudo $0" >&2; exit 1; }
scripts/install-dependencies.sh debian13
mkdir -p "${TREE:=target/debian13}"
TREE=$(realpath "$TREE")

# What is mounted below is gone with this process.
if [ -z "${MOUNTS_ARE_OURS:-}" ]; then
    exec env MOUNTS_ARE_OURS=yes TREE="$TREE" unshare --mount "$0" "$@"
fi

if [ ! -e "$TREE/installed" ]; then
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    [ -z "${http_proxy:-}" ] || export http_proxy
    debootstrap --variant=minbase --keyring="$KEYS" trixie "$TREE" "$MIRROR/debian"
    rm -f "$TREE/etc/apt/sources.list"
    cat >"$TREE/etc/apt/sources.list.d/debian.sources" <<EOF
Types: deb
URIs: $MIRROR/debian
Suites: trixie trixie-updates
Components: main
Signed-By: $KEYS

Types: deb
URIs: $MIRROR/debian-security
Suites: trixie-security
Components: main
Signed-By: $KEYS
EOF
    # A proxy of this machine, and the certificates that it is trusted by.
    apt-config dump | grep '^Acquire::https\?::Proxy' >"$TREE/etc/apt/apt.conf.d/90proxy" || true
    mkdir -p "$TREE/usr/local/share/ca-certificates"
    cp -r /usr/local/share/ca-certificates/. "$TREE/usr/local/share/ca-certificates/"
    touch "$TREE/installed"
fi

# `ip netns` looks after the mount that is its root.
mount --bind "$TREE" "$TREE"
mount --rbind /dev "$TREE/dev"
mount --rbind /sys "$TREE/sys"
mount -t proc proc "$TREE/proc"
mount -t tmpfs tmpfs "$TREE/run"
mount -t tmpfs tmpfs "$TREE/tmp"
# The sources as they are; what is built stays in the tree. Crates that this machine has are not fetched again.
mkdir -p "$TREE/attache" "$TREE/target" "$TREE/root/.cargo/registry" "${CARGO_HOME:=$HOME/.cargo}/registry"
mount --bind . "$TREE/attache"
mount --bind "$CARGO_HOME/registry" "$TREE/root/.cargo/registry"

in_tree() {
    chroot "$TREE" env --ignore-environment --chdir=/attache \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        CARGO_TARGET_DIR=/target CARGO_PROFILE_DEV_DEBUG=line-tables-only "$@"
}

in_tree scripts/install-dependencies.sh build run test
in_tree update-ca-certificates >/dev/null
in_tree dpkg-query --show libgstreamer1.0-0
in_tree cargo test --locked "$@"
