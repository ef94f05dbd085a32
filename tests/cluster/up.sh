#!/usr/bin/env bash
# Brings up a one-node Kubernetes cluster in its own namespaces of this machine.
# Does nothing where a healthy one is up; replaces one that is not. Needs root.
# shellcheck disable=SC2034
HERE=$(cd "$(dirname "$0")" && pwd)
for part in common cache packages cgroup process pki shadow config components clean; do
	# shellcheck source=/dev/null
	. "$HERE/lib/$part.sh"
done

need_root up.sh
# Also for sbin of a root shell that has none, and for the CNI plugins' own calls.
export PATH=$PATH:/usr/sbin:/sbin

usage() {
	say "ready. Use it with"
	say "  export KUBECONFIG=$DIR/kubeconfig"
	say "  $HERE/enter.sh kubectl get pods -A"
}

healthy() {
	local name
	for name in "${COMPONENTS[@]}"; do
		alive "$name" || return 1
	done
	# Another version than the one that is asked for counts as not healthy.
	grep -qx "KUBE_BIN=$KUBE" "$DIR/cluster.env" || return 1
	api get --raw /readyz >/dev/null 2>&1 && node_ready
}

api() { in_node "$KUBE/kubectl" --kubeconfig="$DIR/kubeconfig" --request-timeout=10s "$@"; }
node_ready() { api wait node "$NODE_NAME" --for=condition=Ready --timeout=0 >/dev/null; }

"$HERE/build.sh" packages pause kube coredns
KUBE=$(bin_dir kube)
KUBE_VERSION=$(version_of kube)
COREDNS=$(bin_dir coredns)
PKI=$DIR/pki
TIMEOUT=${ENCLII_CLUSTER_TIMEOUT:-120}

# Two test runs at once share one cluster: the second waits and finds it up.
exec 9>"$CACHE/$ID.lock"
flock 9

if [[ -e $DIR/.enclii-cluster ]] && healthy; then
	say "already up in $DIR"
	usage
	exit
fi
clean_cluster

SECONDS=0
DEADLINE=$TIMEOUT
mkdir -p "$DIR"
touch "$DIR/.enclii-cluster"
mkdir -p "$DIR/pids" "$DIR/logs"
make_cgroups

say "starting in $DIR"
start_node
start_etcd
write_containerd_config
start_containerd
make_pki
write_audit_policy
write_admission_config
start_apiserver

write_kubelet_config
write_corefile
for client in controller-manager scheduler kube-proxy coredns kubelet; do
	kubeconfig "$client" "$DIR/$client.kubeconfig"
done
kubeconfig admin "$DIR/kubeconfig"
write_cluster_env

await containerd "containerd" ctr -a "$DIR/containerd/containerd.sock" version
"$HERE/image.sh" -o "$DIR/pause.tar" "$PAUSE_IMAGE" "$(bin_dir pause)/pause" /pause >/dev/null
"$HERE/load.sh" "$DIR/pause.tar"
say "containerd is up ($SECONDS s)"

await kube-apiserver "the API server" api get --raw /readyz
say "the API server is ready ($SECONDS s)"
start_kubelet
start_kube_proxy
start_controller_manager
start_scheduler
api apply -f "$HERE/addons.yaml" >/dev/null
start_coredns
"$HERE/volume.sh" enclii-data

await kubelet "a Ready node" node_ready
say "the node is Ready ($SECONDS s)"
await coredns "CoreDNS" in_node curl -fsS -m 2 "http://$NODE_IP:8181/ready"
await kube-controller-manager "the default service account" api get serviceaccount default
await kube-proxy "kube-proxy" in_node curl -fsS -m 2 http://127.0.0.1:10256/healthz
# That of Kubernetes 1.29 answers at /healthz alone.
ready=readyz
[[ ${ENCLII_KUBERNETES:-} != 1.29 ]] || ready=healthz
await kube-scheduler "the scheduler" in_node curl -kfsS -m 2 "https://127.0.0.1:10259/$ready"
say "up in $SECONDS s"
usage
