#!/usr/bin/env bash
# The node: first process of its own network and mount namespace. It lays out
# network and mounts, says so, and then only holds the namespaces open.
# Run by up.sh as `unshare --net --mount lib/node.sh`; not for calling by hand.
HERE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"

# Mounts made here stay here (unshare made everything private), but inside they
# propagate: a pod may ask for mounts that appear after it started.
mount --make-rshared /

# Paths that Kubernetes, containerd or CNI have built in. shadow.list says which;
# lib/shadow.sh made the mount points.
while read -r path; do
	mkdir -p "$DIR/node$path"
	mount --bind "$DIR/node$path" "$path"
done <"$DIR/shadow.list"

# The kubelet sets these kernel-wide settings at its start. Give it copies that
# already say what it wants, so that the machine's own are left as they are.
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

# Names are those of the cluster and no others: there is no way out of here.
printf 'nameserver %s\n' "$NODE_IP" >"$DIR/node/resolv.conf"
[[ ! -e /etc/resolv.conf ]] || mount --bind "$DIR/node/resolv.conf" "$(readlink -f /etc/resolv.conf)"

ip link set lo up
# A bridge without ports serves as the node's network card. The default route
# gives service addresses a way to the rules that rewrite them.
ip link add node0 type bridge
ip address add "$NODE_IP/24" dev node0
ip link set node0 up
ip route add default dev node0
sysctl -qw net.ipv4.ip_forward=1

touch "$DIR/node/ready"
exec sleep infinity
