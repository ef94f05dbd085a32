#!/usr/bin/env bash
# Runs the tests that need a cluster. If KUBECONFIG names a cluster with the system installed, they
# run there and leave it as it is. Otherwise this makes a cluster and always removes it again.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
cd "$ROOT"
export RUST_BACKTRACE=0 ENCLII_BIN

# Built outside the cluster's network namespace, which reaches no package registry.
build=(cargo test --locked --workspace --test cluster)
"${build[@]}" --no-run
# Every value of a run holds one random word, its marker; a new run makes a new one.
rm -rf target/tmp/run-marker target/tmp/pod-logs
export ENCLII_KEEP_LOGS=$ROOT/target/tmp/pod-logs
# `cargo test` passes if a filter matches no test, so the number that ran is checked.
run_tests() {
	local output status=0
	output=$(mktemp)
	"${enter[@]}" "${build[@]}" --offline -- "$@" 2>&1 | tee "$output" || status=$?
	if [[ $status == 0 ]] && ! grep -qE '^test result: ok\. [1-9][0-9]* passed' "$output"; then
		say "no test ran: $*"
		status=1
	fi
	rm -f "$output"
	return "$status"
}
run() {
	run_tests --test-threads="${ENCLII_TEST_THREADS:-4}" --skip leaks::no_value_leaks
	# Last and alone: it searches for every value that the other tests wrote.
	run_tests --exact leaks::no_value_leaks --nocapture
}

enter=()
if [[ -n ${KUBECONFIG:-} ]]; then
	say "using the cluster of $KUBECONFIG"
	# Its nodes are out of reach: the leak search covers the API and the logs that the tests kept.
	export ENCLII_LEAK_PATHS=$ENCLII_KEEP_LOGS ENCLII_FOREIGN_CLUSTER=1
	run
	exit
fi

need_root test.sh
"$HERE/build.sh" kube coredns vault
# A cluster that was up before stays.
[[ -e $DIR/.enclii-cluster ]] || trap '"$HERE/down.sh"' EXIT
"$HERE/up.sh"
"$HERE/install.sh"
servers=$("$HERE/servers-image.sh")
"$HERE/load.sh" "$servers"
enter=("$HERE/enter.sh")
# shellcheck source=/dev/null
. "$DIR/cluster.env"
export ENCLII_LEAK_PATHS=$ETCD_DATA:$LOG_DIR:/var/log/pods:$DIR/volumes:$ENCLII_KEEP_LOGS
run
