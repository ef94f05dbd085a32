#!/usr/bin/env bash
# Checks that the running cluster does what the product's tests need: pods, services, names, jobs,
# sidecars, memory volumes, tokens, logs, exec.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/packages.sh
. "$HERE/lib/packages.sh"

need_root check.sh
require_packages busybox-static:/usr/share/doc/busybox-static
set -a
# shellcheck source=/dev/null
. "$DIR/cluster.env"
set +a

NAMESPACE=cluster-check
IMAGE=enclii.test/check:1
BUILT_IMAGE=enclii.test/built:1
work=$(mktemp -d)
passed=0 failed=0
k() { "$HERE/enter.sh" kubectl -n "$NAMESPACE" "$@"; }
in_pod() { k exec app -c app -- "$@"; }

# check WHAT EXPECTED COMMAND...: the command succeeds and prints EXPECTED somewhere.
check() {
	local what=$1 expected=$2 output
	shift 2
	if output=$("$@" 2>&1) && [[ $output == *"$expected"* ]]; then
		echo "ok      $what"
		passed=$((passed + 1))
	else
		echo "FAILED  $what: wanted '$expected', got: $output"
		failed=$((failed + 1))
	fi
}

clean() {
	k delete namespace "$NAMESPACE" --ignore-not-found --wait >/dev/null 2>&1 || true
	k delete persistentvolume cluster-check --ignore-not-found >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean EXIT

# Applets are called by name; /var/run is a symlink as in most real images.
applets=()
for applet in sh sleep cat nslookup httpd echo mkdir ls ps nc; do
	applets+=("link:/bin/$applet=busybox")
done
"$HERE/image.sh" -o "$work/check.tar" "$IMAGE" "$(command -v busybox)" /bin/busybox 65532 \
	dir:/tmp dir:/run link:/var/run=/run "${applets[@]}" >/dev/null
cp "$(command -v busybox)" "$work/busybox"
cat >"$work/Dockerfile" <<-DOCKERFILE
	FROM scratch
	COPY busybox /busybox
	USER 65532
	ENTRYPOINT ["/busybox", "echo"]
DOCKERFILE
"$HERE/build-image.sh" "$work/Dockerfile" "$work" "$BUILT_IMAGE" "$work/built.tar" >/dev/null
"$HERE/load.sh" "$work/check.tar" "$work/built.tar" 2>/dev/null

k create namespace "$NAMESPACE" >/dev/null
# A volume of its own, so that the product's stays free.
"$HERE/volume.sh" cluster-check
sed -e "s|CHECK_IMAGE|$IMAGE|" -e "s|BUILT_IMAGE|$BUILT_IMAGE|" "$HERE/check.yaml" |
	k apply -f - >/dev/null

check "deployment" "successfully rolled out" k rollout status deployment/web --timeout=60s
check "job completes" "condition met" k wait job/job --for=condition=Complete --timeout=60s
check "pod with a native sidecar" "condition met" k wait pod/app --for=condition=Ready --timeout=60s
check "logs" "job done" k logs job/job
check "the app starts after the sidecar's hook" "app saw: from the hook" k logs app -c app
check "memory volume" "tmpfs /run/secrets tmpfs" in_pod cat /proc/mounts
check "claim bound, owned by the pod's group" "65532" in_pod ls -lnd /data
check "claim can be written" "" in_pod sh -c 'echo x >/data/x'
check "/var/run is /run" "hook" in_pod ls /var/run/secrets
check "shared process namespace" "pause" in_pod ps

address=$(k get service web -o jsonpath='{.spec.clusterIP}')
# Not wget: a static glibc program crashes when it looks up a port by name.
get="printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 $address 80"
# kube-proxy writes its rules a moment after the endpoints are ready.
for _ in {1..50}; do
	! in_pod sh -c "$get" >/dev/null 2>&1 || break
	sleep 0.1
done
check "service address from a pod" "web web-" in_pod sh -c "$get"
check "service address from the node" "web web-" "$HERE/enter.sh" curl -fsS -m 3 "http://$address/"
full_name=web.$NAMESPACE.svc.cluster.local
check "service name in a pod (full)" "$address" in_pod nslookup "$full_name"
check "service name in a pod (search list)" "$address" in_pod sh -c "nslookup web || true"
check "service name on the node" "web web-" \
	"$HERE/enter.sh" curl -fsS -m 3 "http://$full_name/"
check "API server from a pod" "kubernetes.default.svc" \
	in_pod nslookup kubernetes.default.svc.cluster.local
web=$(k get pod -l app=web -o jsonpath='{.items[0].metadata.name}')
check "a pod reaches itself through its service" "web web-" \
	k exec "$web" -- sh -c "for i in 1 2 3 4 5 6; do $get || exit 1; done"

token=$(k exec app -c sidecar -- cat /run/token/token)
review() {
	jq -n --arg token "$token" --arg audience "$1" \
		'{apiVersion: "authentication.k8s.io/v1", kind: "TokenReview",
		spec: {token: $token, audiences: [$audience]}}' |
		k create -o json -f - | jq -c .status
}
check "TokenReview of the projected token" \
	'"username":"system:serviceaccount:cluster-check:default"' review enclii.io
check "TokenReview knows the pod" \
	'"authentication.kubernetes.io/pod-name":["app"]' review enclii.io
check "TokenReview for another audience" 'token audiences' review elsewhere.io
check "a pod is in etcd" '"count":"1"' \
	"$HERE/enter.sh" curl -fsS -m 3 "$ETCD_ENDPOINT/v3/kv/range" \
	-d "{\"key\":\"$(printf '/registry/pods/%s/app' "$NAMESPACE" | base64 -w0)\"}"
k create secret generic canary --from-literal=value=not-in-the-audit-log >/dev/null
check "secrets are audited by name" '"level":"Metadata"' \
	grep -m1 '"secrets","namespace":"cluster-check","name":"canary"' "$AUDIT_LOG"
canary=$(printf not-in-the-audit-log | base64)
# The log has to hold something, or the search would prove nothing.
check "no secret's value is in the audit log" "absent" \
	bash -c "test -s '$AUDIT_LOG' && ! grep -q '$canary' '$AUDIT_LOG' && echo absent"
forward() {
	"$HERE/enter.sh" timeout 5 kubectl -n "$NAMESPACE" port-forward service/web 18080:80 >/dev/null &
	local page='' _
	for _ in {1..30}; do
		! page=$("$HERE/enter.sh" curl -fsS -m 2 http://127.0.0.1:18080/ 2>/dev/null) || break
		sleep 0.1
	done
	echo "$page"
	kill $! 2>/dev/null
	wait 2>/dev/null || true
}
check "port-forward" "web web-" forward

echo "$passed passed, $failed failed"
[[ $failed == 0 && $passed -gt 0 ]]
