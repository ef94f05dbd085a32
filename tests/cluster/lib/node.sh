#!/usr/bin/env bash
# The node: the first process of its network and mount namespaces. Sets up network and mounts, marks
# that it is ready and then keeps the namespaces open. up.sh runs it as
# `unshare --net --mount lib/node.sh`.
HERE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"

# Mounts made here stay here, since unshare made everything private, but inside they propagate: a
# pod may need mounts that appear after its start.
mount --make-rshared /

# Paths that are built into Kubernetes, containerd or CNI. lib/shadow.sh wrote the list and made the
# mount points.
while read -r path; do
	mkdir -p "$DIR/node$path"
	mount --bind "$DIR/node$path" "$path"
done <"$DIR/shadow.list"

# The kubelet changes these kernel-wide settings when it starts. It gets copies with the values that
# it wants, so that the machine's own stay unchanged.
while read -r key value; do
	mkdir -p "$DIR/node/sysctl"
	echo "$value" >"$DIR/node/sysctl/${key//\//.}"
	[[ ! -e /proc/sys/$key ]] || mount --bind "$DIR/node/sysctl/${key//\//.}" "/proc/sys/$key"
done <<-SETTINGS
	vm/overcommit_memory 1
	vm/panic_on_oom 0
	kernel/panic 10
	kernel/panic_on_oops 1
	kernel/keys/root_maxkeys 1000000
	kernel/keys/root_maxbytes 25000000
SETTINGS

# Only the cluster's names resolve: there is no network outside it.
printf 'nameserver %s\n' "$NODE_IP" >"$DIR/node/resolv.conf"
[[ ! -e /etc/resolv.conf ]] ||
	mount --bind "$DIR/node/resolv.conf" "$(readlink -f /etc/resolv.conf)"

ip link set lo up
# A bridge without ports serves as the node's network card. The default route takes packets for
# service addresses to the rules that rewrite them.
ip link add node0 type bridge
ip address add "$NODE_IP/24" dev node0
ip link set node0 up
ip route add default dev node0
sysctl -qw net.ipv4.ip_forward=1

touch "$DIR/node/ready"
exec sleep infinity
