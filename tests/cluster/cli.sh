#!/usr/bin/env bash
# Runs `enclii` as the administrator of the cluster that KUBECONFIG names. Reads switchyard's CA and
# the bootstrap token, and forwards a port to switchyard while the command runs.
#
#   cli.sh secrets list --service api --env prod --project shop
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
work=$(mktemp -d)
trap 'kill "${forward:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

kubectl -n enclii-system get configmap enclii-trust \
	-o go-template='{{index .data "ca.crt"}}' >"$work/ca.crt"
(umask 077 && kubectl -n enclii-system get secret enclii-bootstrap \
	-o go-template='{{.data.token | base64decode}}' >"$work/token")
kubectl -n enclii-system port-forward service/switchyard :443 >"$work/forward" 2>&1 &
forward=$!
for _ in $(seq 100); do
	port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")
	[[ -n $port ]] && break
	sleep 0.1
done
if [[ -z ${port:-} ]]; then
	cat "$work/forward" >&2
	exit 1
fi
export ENCLII_ADDR=https://localhost:$port ENCLII_CACERT=$work/ca.crt ENCLII_TOKEN_FILE=$work/token
"$ENCLII_BIN/enclii" "$@"
