#!/usr/bin/env bash
# Runs the tests that need a cluster. Where KUBECONFIG names one that has the manifests, that one is
# used and left as it is; else one is made here and removed again, whatever happens.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
ROOT=$(cd "$HERE/../.." && pwd)
cd "$ROOT"
export RUST_BACKTRACE=0 ENCLII_BIN=${ENCLII_BIN:-$ROOT/target/bin}

# The binary is built outside: inside there is no way to a package registry.
build=(cargo test --locked --workspace --test cluster)
"${build[@]}" --no-run
# Every value of a run holds one word; a new run gets a new one.
rm -rf target/tmp/run-marker target/tmp/pod-logs
export ENCLII_KEEP_LOGS=$ROOT/target/tmp/pod-logs
run() {
	"${enter[@]}" "${build[@]}" --offline -- --test-threads="${ENCLII_TEST_THREADS:-4}" --skip leaks::hunt
	# Last and alone: it looks for everything that the others wrote.
	"${enter[@]}" "${build[@]}" --offline -- --exact leaks::hunt --nocapture
}

enter=()
if [[ -n ${KUBECONFIG:-} ]]; then
	say "using the cluster of $KUBECONFIG"
	run
	exit
fi

need_root test.sh
"$HERE/build.sh" kube coredns vault
# One that somebody works with stays.
[[ -e $DIR/.enclii-cluster ]] || trap '"$HERE/down.sh"' EXIT
"$HERE/up.sh"
"$HERE/install.sh"
enter=("$HERE/enter.sh")
# shellcheck source=/dev/null
. "$DIR/cluster.env"
export ENCLII_LEAK_PATHS=$ETCD_DATA:$LOG_DIR:/var/log/pods:$DIR/volumes:$ENCLII_KEEP_LOGS
run
