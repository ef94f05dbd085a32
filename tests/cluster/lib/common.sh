# Names, addresses and paths that every script here shares. Sourced, never run.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

ROOT=$(cd "$HERE/../.." && pwd)

# The programs of this workspace. `make` says where it built them; without it they are those that
# the tests run.
if [[ -z ${ENCLII_BIN:-} ]]; then
	for ENCLII_BIN in "$ROOT"/target/*-linux-*/debug; do break; done
fi

CACHE=${ENCLII_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/enclii}

# /run is for state that ends with the machine. Without write access to it the scripts still print
# a useful message instead of an error of mkdir.
if [[ -n ${ENCLII_CLUSTER_DIR:-} ]]; then
	DIR=$ENCLII_CLUSTER_DIR
elif [[ -w /run ]]; then
	DIR=/run/enclii-cluster
else
	DIR=$CACHE/cluster
fi
[[ $DIR == /* ]] || DIR=$PWD/$DIR

# Two clusters on one machine (two folders) must not share a cgroup.
ID=enclii-$(printf %s "$DIR" | sha256sum | cut -c1-8)

# 192.0.2.0/24 is reserved for documentation (RFC 5737) and never a real network. No packet leaves
# the cluster's network namespace anyway.
NODE_NAME=node1
NODE_IP=192.0.2.10
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_IP=10.96.0.1
DOMAIN=cluster.local
PAUSE_IMAGE=enclii.test/pause:1

say() { printf 'cluster: %s\n' "$*" >&2; }
die() {
	printf 'cluster: error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[[ $(id -u) == 0 ]] ||
		die "$1 needs root (namespaces, mounts, cgroups): run it as root or with sudo -E"
}
