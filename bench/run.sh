#!/usr/bin/env bash
# Measures the budgets, prints the table and writes target/bench.json. A missed budget is a result,
# not an error; a measurement that could not be made is an error.
#
# Vault Agent is measured too, if it can be built or ENCLII_BENCH_VAULT names a `vault` program. The
# cluster's part uses the cluster that KUBECONFIG names, else the one that `make cluster` made, else
# it makes one and removes it again (root).
# shellcheck disable=SC2317 # `remove` is called by the trap.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
CLUSTER=$ROOT/tests/cluster
export ENCLII_BIN=${ENCLII_BIN:-$ROOT/target/bin}
bench=$ENCLII_BIN/enclii-bench
parts=$ROOT/target/bench
mkdir -p "$parts"
rm -f "$parts"/*.json

say() { printf 'bench: %s\n' "$*" >&2; }
status=0
notes=()
note() { notes+=(--note "$1"); }

# First, while no cluster uses the processors.
vault=${ENCLII_BENCH_VAULT:-}
if [[ -z $vault ]]; then
	if "$CLUSTER/build.sh" vault; then
		vault=$("$CLUSTER/build.sh" --path vault)/vault
	else
		note "Vault Agent is not beside ours: it could not be built (see above)"
	fi
fi
"$bench" loopback --out "$parts/loopback.json" ${vault:+--vault "$vault"} || status=1

installed() {
	"$@" kubectl -n enclii-system get deployment enclii-webhook switchyard >/dev/null 2>&1
}
pods() { "$@" "$bench" cluster --out "$parts/cluster.json" || status=1; }
remove() { "$CLUSTER/down.sh" || say "the cluster could not be removed"; }

if [[ -n ${KUBECONFIG:-} ]]; then
	if installed env; then
		pods env
	else
		note "pod_start_added: the system is not installed in the cluster of $KUBECONFIG"
	fi
elif [[ $(id -u) != 0 ]]; then
	note "pod_start_added: no cluster (KUBECONFIG is not set, and making one needs root)"
elif "$CLUSTER/enter.sh" true 2>/dev/null; then
	if installed "$CLUSTER/enter.sh"; then
		pods "$CLUSTER/enter.sh"
	else
		note "pod_start_added: the running cluster lacks the system (make cluster installs it)"
	fi
else
	trap remove EXIT
	if "$CLUSTER/build.sh" kube coredns && "$CLUSTER/up.sh" && "$CLUSTER/install.sh"; then
		pods "$CLUSTER/enter.sh"
	else
		status=1
		note "pod_start_added: the cluster could not be made (see above)"
	fi
fi

"$bench" report "$parts"/*.json "${notes[@]}" || status=1
exit $status
