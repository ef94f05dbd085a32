#!/usr/bin/env bash
# Makes the images of the programs in target/bin, loads them into the cluster that up.sh brought up, and
# installs the manifests. Run again after a build: the pods start anew on the new images.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
need_root install.sh
ROOT=$(cd "$HERE/../.." && pwd)
BIN=$ROOT/target/bin
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)

# The same content as the images/*.Dockerfile, without a builder: one static program and nothing else.
images=$DIR/images
mkdir -p "$images"
make_image() {
	local name=$1 program=$2 uid=$3
	shift 3
	[[ -x $BIN/$program ]] || die "$BIN/$program is not there: run make build"
	"$HERE/image.sh" -o "$images/$name.tar" "enclii/$name:$version" "$BIN/$program" "/$program" "$uid" "$@" >/dev/null
	archives+=("$images/$name.tar")
}
archives=()
make_image agent enclii-agent 65532
make_image webhook enclii-webhook 65532
make_image switchyard switchyard 65532
make_image sample enclii-sample 1000
# As most images have it: /var/run is a link to /run.
make_image sample-var-run enclii-sample 1000 link:/var/run=/run
"$HERE/load.sh" "${archives[@]}"

kubectl() { "$HERE/enter.sh" kubectl "$@"; }
again=false
kubectl -n enclii-system get deployment switchyard >/dev/null 2>&1 && again=true
kubectl apply -k "$ROOT/manifests/overlays/default" >/dev/null
if $again; then
	kubectl -n enclii-system rollout restart deployment/switchyard deployment/enclii-webhook >/dev/null
fi
SECONDS=0
for workload in switchyard enclii-webhook; do
	if ! kubectl -n enclii-system rollout status "deployment/$workload" --timeout=120s >/dev/null; then
		kubectl -n enclii-system get pods -o wide >&2
		kubectl -n enclii-system get events --sort-by=.lastTimestamp >&2 | tail -n 20
		kubectl -n enclii-system logs "deployment/$workload" --tail=20 >&2 || true
		die "$workload did not become ready"
	fi
done
say "Enclii Secrets is installed and ready ($SECONDS s)"
cat >&2 <<E2
cluster: an application, and a secret in it (each line as it is):
  alias in-cluster=$HERE/enter.sh
  in-cluster kubectl apply -f manifests/examples/api.yaml
  in-cluster $HERE/cli.sh secrets set DATABASE_URL=- --service api --env prod --project shop
  in-cluster kubectl -n shop-prod get pods
cluster: remove it with make cluster-down
E2
