# One function per component, which starts it. Sourced, never run.
# shellcheck shell=bash disable=SC2034

start_node() {
	make_shadowed
	launch node unshare --net --mount "$HERE/lib/node.sh"
	await node "the node's namespaces" test -e "$DIR/node/ready"
}

start_etcd() {
	# No fsync: the data ends with the cluster, and a slow disk would slow every test.
	start etcd "$KUBE/etcd" --name=etcd --data-dir="$DIR/etcd" --unsafe-no-fsync \
		--log-level=warn \
		--listen-client-urls=http://127.0.0.1:2379 \
		--advertise-client-urls=http://127.0.0.1:2379 \
		--listen-peer-urls=http://127.0.0.1:2380 \
		--initial-advertise-peer-urls=http://127.0.0.1:2380 \
		--initial-cluster=etcd=http://127.0.0.1:2380
}

start_containerd() { start containerd containerd --config "$DIR/containerd/config.toml"; }

start_apiserver() {
	start kube-apiserver "$KUBE/kube-apiserver" \
		--etcd-servers=http://127.0.0.1:2379 \
		--advertise-address="$NODE_IP" --secure-port=6443 \
		--service-cluster-ip-range="$SERVICE_CIDR" \
		--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
		--admission-control-config-file="$DIR/admission.yaml" \
		--client-ca-file="$PKI/ca.crt" \
		--tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
		--kubelet-client-certificate="$PKI/apiserver-kubelet.crt" \
		--kubelet-client-key="$PKI/apiserver-kubelet.key" \
		--kubelet-certificate-authority="$PKI/ca.crt" \
		--kubelet-preferred-address-types=InternalIP \
		--service-account-issuer="https://kubernetes.default.svc.$DOMAIN" \
		--service-account-signing-key-file="$PKI/sa.key" \
		--service-account-key-file="$PKI/sa.pub" \
		--requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
		--requestheader-allowed-names=front-proxy-client \
		--requestheader-username-headers=X-Remote-User \
		--requestheader-group-headers=X-Remote-Group \
		--requestheader-extra-headers-prefix=X-Remote-Extra- \
		--proxy-client-cert-file="$PKI/front-proxy.crt" \
		--proxy-client-key-file="$PKI/front-proxy.key" \
		--audit-policy-file="$DIR/audit-policy.yaml" --audit-log-path="$DIR/logs/audit.log" \
		--audit-log-maxsize=4096
}

start_controller_manager() {
	# The default limit of 20 requests a second makes its own start take five seconds.
	start kube-controller-manager "$KUBE/kube-controller-manager" \
		--kubeconfig="$DIR/controller-manager.kubeconfig" \
		--authentication-kubeconfig="$DIR/controller-manager.kubeconfig" \
		--authorization-kubeconfig="$DIR/controller-manager.kubeconfig" \
		--leader-elect=false --use-service-account-credentials \
		--kube-api-qps=200 --kube-api-burst=400 \
		--service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
		--cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
		--flex-volume-plugin-dir="$DIR/kubelet-plugins"
}

start_scheduler() {
	start kube-scheduler "$KUBE/kube-scheduler" --kubeconfig="$DIR/scheduler.kubeconfig" \
		--leader-elect=false \
		--authentication-kubeconfig="$DIR/scheduler.kubeconfig" \
		--authorization-kubeconfig="$DIR/scheduler.kubeconfig"
}

start_kubelet() {
	start kubelet "$KUBE/kubelet" --config="$DIR/kubelet.yaml" --kubeconfig="$DIR/kubelet.kubeconfig" \
		--hostname-override="$NODE_NAME" --node-ip="$NODE_IP"
}

start_kube_proxy() {
	local gates=()
	# The mode nftables is an alpha feature of 1.29 and 1.30.
	[[ $KUBE_VERSION != v1.29.* ]] || gates=(--feature-gates=NFTablesProxyMode=true)
	# conntrack-max-per-core=0 leaves the machine's table as it is.
	start kube-proxy "$KUBE/kube-proxy" --kubeconfig="$DIR/kube-proxy.kubeconfig" \
		--hostname-override="$NODE_NAME" \
		--proxy-mode=nftables --cluster-cidr="$POD_CIDR" --conntrack-max-per-core=0 \
		--oom-score-adj=0 "${gates[@]}"
}

start_coredns() { start coredns "$COREDNS/coredns" -conf "$DIR/Corefile"; }

COMPONENTS=(node etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet)
COMPONENTS+=(kube-proxy coredns)
