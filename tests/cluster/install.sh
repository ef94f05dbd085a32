#!/usr/bin/env bash
# Builds the images from images/*.Dockerfile and the programs in ENCLII_BIN, loads them into the
# cluster that up.sh started and installs the manifests. Run it again after a build: it restarts the
# pods on the new images.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
need_root install.sh
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)

images=$DIR/images
mkdir -p "$images"
archives=()
for dockerfile in "$ROOT"/images/*.Dockerfile; do
	[[ -e $dockerfile ]] || die "no Dockerfile in $ROOT/images"
	name=$(basename "$dockerfile" .Dockerfile)
	# The context holds the image's programs alone: their folder may hold a whole build.
	context=$images/$name.context
	mkdir -p "$context"
	while read -r program; do
		[[ -x $ENCLII_BIN/$program ]] ||
			die "$ENCLII_BIN/$program does not exist: run make programs"
		cp -f "$ENCLII_BIN/$program" "$context/"
	done < <(awk '$1 == "COPY" { print $2 }' "$dockerfile")
	"$HERE/build-image.sh" "$dockerfile" "$context" "enclii/$name:$version" "$images/$name.tar" \
		>/dev/null
	rm -rf "$context"
	archives+=("$images/$name.tar")
done
# The sample again, with /var/run linked to /run as in most base images. A Dockerfile cannot make a
# link without a shell in the image.
"$HERE/image.sh" -o "$images/sample-var-run.tar" "enclii/sample-var-run:$version" \
	"$ENCLII_BIN/enclii-sample" /enclii-sample 1000 link:/var/run=/run >/dev/null
archives+=("$images/sample-var-run.tar")
"$HERE/load.sh" "${archives[@]}"

kubectl() { "$HERE/enter.sh" kubectl "$@"; }
installed=false
kubectl -n enclii-system get deployment switchyard >/dev/null 2>&1 && installed=true
overlay=default
# Before 1.30 there are no policies.
[[ $(kubectl version -o json | jq -r .serverVersion.minor) -ge 30 ]] || overlay=kubernetes-1.29
kubectl apply -k "$ROOT/manifests/overlays/$overlay" >/dev/null
if $installed; then
	kubectl -n enclii-system rollout restart deployment/switchyard deployment/enclii-webhook \
		deployment/enclii-certificates >/dev/null
fi
SECONDS=0
for workload in switchyard enclii-certificates enclii-webhook; do
	if ! kubectl -n enclii-system rollout status "deployment/$workload" --timeout=120s >/dev/null; then
		kubectl -n enclii-system get pods -o wide >&2
		kubectl -n enclii-system get events --sort-by=.lastTimestamp >&2 | tail -n 20
		kubectl -n enclii-system logs "deployment/$workload" --tail=20 >&2 || true
		die "$workload did not become ready"
	fi
done
say "Enclii Secrets is installed and ready ($SECONDS s)"
cat >&2 <<E2
cluster: to run an application with a secret, paste these lines:
  alias in-cluster=$HERE/enter.sh
  in-cluster kubectl apply -f manifests/examples/api.yaml
  in-cluster $HERE/cli.sh secrets set DATABASE_URL=- --service api --env prod --project shop
  in-cluster kubectl -n shop-prod get pods
cluster: make cluster-down removes the cluster
E2
