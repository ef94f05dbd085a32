#!/usr/bin/env bash
# Runs a command where the cluster is: in its network and mount namespaces, with
# KUBECONFIG and the rest of cluster.env set and kubectl on PATH. The file tree,
# the user and the working directory are the caller's.
#
#   enter.sh kubectl get pods -A
#   enter.sh cargo test -p …
HERE=$(cd "$(dirname "$0")" && pwd)
for part in common process; do
	# shellcheck source=/dev/null
	. "$HERE/lib/$part.sh"
done

[[ $# -gt 0 ]] || die "usage: enter.sh COMMAND [ARGUMENT...]"
need_root enter.sh
if [[ ! -r $DIR/cluster.env ]] || ! alive node; then
	die "no cluster is up in $DIR: run $HERE/up.sh"
fi
set -a
# shellcheck source=/dev/null
. "$DIR/cluster.env"
set +a
export PATH=$KUBE_BIN:$PATH
# The directory is found again inside: one kept from outside is on another mount.
exec nsenter -t "$NODE_PID" -n -m -- env -C "$PWD" "$@"
