# The configuration files of the node. Sourced, never run.
# shellcheck shell=bash

write_containerd_config() {
	mkdir -p "$DIR/containerd" "$DIR/cni"
	# restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails to give a container a lower score
	# than its parent's.
	cat >"$DIR/containerd/config.toml" <<-TOML
		version = 2
		root = "$DIR/containerd/root"
		state = "$DIR/containerd/state"
		disabled_plugins = [
		  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
		  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
		]
		[grpc]
		  address = "$DIR/containerd/containerd.sock"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$DIR/containerd/opt"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$PAUSE_IMAGE"
		  restrict_oom_score_adj = true
		  netns_mounts_under_state_dir = true
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "overlayfs"
		    default_runtime_name = "runc"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        SystemdCgroup = false
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$DIR/cni"
	TOML
	# ptp instead of bridge: each pod has its own routed link, so traffic between two pods through a
	# service passes the node's rules both ways.
	cat >"$DIR/cni/10-pods.conflist" <<-JSON
		{
		  "cniVersion": "0.4.0",
		  "name": "pods",
		  "plugins": [
		    {"type": "ptp", "ipam": {
		      "type": "host-local",
		      "ranges": [[{"subnet": "$POD_CIDR"}]],
		      "routes": [{"dst": "0.0.0.0/0"}]
		    }},
		    {"type": "portmap", "capabilities": {"portMappings": true}}
		  ]
		}
	JSON
}

write_kubelet_config() {
	mkdir -p "$DIR/kubelet-plugins"
	# A developer's disk may be nearly full, so there is no eviction for it. Images are not collected,
	# since there is no registry to pull them from again.
	cat >"$DIR/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $NODE_IP
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true}
		  x509: {clientCAFile: $PKI/ca.crt}
		authorization: {mode: Webhook}
		tlsCertFile: $PKI/kubelet-serving.crt
		tlsPrivateKeyFile: $PKI/kubelet-serving.key
		containerRuntimeEndpoint: unix://$DIR/containerd/containerd.sock
		cgroupDriver: cgroupfs
		cgroupRoot: /$ID
		clusterDNS: [$NODE_IP]
		clusterDomain: $DOMAIN
		resolvConf: $DIR/node/resolv.conf
		failSwapOn: false
		failCgroupV1: false
		oomScoreAdj: 0
		makeIPTablesUtilChains: false
		serializeImagePulls: false
		volumePluginDir: $DIR/kubelet-plugins
		imageGCHighThresholdPercent: 100
		imageGCLowThresholdPercent: 99
		evictionHard:
		  memory.available: 50Mi
		  nodefs.available: 0%
		  nodefs.inodesFree: 0%
		  imagefs.available: 0%
		  imagefs.inodesFree: 0%
	YAML
}

# Logs requests and responses, but only metadata of secrets, tokens and token reviews, which hold
# credentials.
write_audit_policy() {
	cat >"$DIR/audit-policy.yaml" <<-YAML
		apiVersion: audit.k8s.io/v1
		kind: Policy
		omitStages: [RequestReceived]
		omitManagedFields: true
		rules:
		- level: None
		  resources: [{group: coordination.k8s.io, resources: [leases]}]
		- level: None
		  nonResourceURLs: [/healthz*, /livez*, /readyz*, /openapi/*]
		- level: None
		  nonResourceURLs: [/api, /api/*, /apis, /apis/*, /version]
		- level: Metadata
		  resources:
		  - {group: "", resources: [secrets, serviceaccounts/token]}
		  - {group: authentication.k8s.io, resources: [tokenreviews]}
		- level: RequestResponse
	YAML
}

# The API server's client certificate for the webhook, as docs/guide.md has it.
write_admission_config() {
	cat >"$DIR/admission.yaml" <<-YAML
		apiVersion: apiserver.config.k8s.io/v1
		kind: AdmissionConfiguration
		plugins:
		- name: MutatingAdmissionWebhook
		  configuration:
		    apiVersion: apiserver.config.k8s.io/v1
		    kind: WebhookAdmissionConfiguration
		    kubeConfigFile: $DIR/admission.kubeconfig
	YAML
	cat >"$DIR/admission.kubeconfig" <<-YAML
		apiVersion: v1
		kind: Config
		users:
		- name: enclii-webhook.enclii-system.svc
		  user:
		    client-certificate: $PKI/admission-client.crt
		    client-key: $PKI/admission-client.key
	YAML
}

write_corefile() {
	cat >"$DIR/Corefile" <<-CONF
		.:53 {
		    bind $NODE_IP
		    errors
		    ready $NODE_IP:8181
		    kubernetes $DOMAIN in-addr.arpa ip6.arpa {
		        kubeconfig $DIR/coredns.kubeconfig
		        ttl 5
		    }
		}
	CONF
}

# What tests need to know, as shell assignments.
write_cluster_env() {
	cat >"$DIR/cluster.env" <<-ENV
		CLUSTER_DIR=$DIR
		KUBECONFIG=$DIR/kubeconfig
		API_SERVER=https://$NODE_IP:6443
		CLUSTER_CA=$PKI/ca.crt
		ADMISSION_CLIENT_CA=$PKI/admission-client-ca.crt
		SERVICE_ACCOUNT_KEY=$PKI/sa.key
		ETCD_ENDPOINT=http://127.0.0.1:2379
		ETCD_DATA=$DIR/etcd
		LOG_DIR=$DIR/logs
		AUDIT_LOG=$DIR/logs/audit.log
		NODE_PID=$(pid_of node)
		NODE_NAME=$NODE_NAME
		NODE_IP=$NODE_IP
		CONTAINERD_ADDRESS=$DIR/containerd/containerd.sock
		KUBELET_ROOT=/var/lib/kubelet
		KUBE_BIN=$KUBE
		KUBE_VERSION=$KUBE_VERSION
		VAULT_BIN=$(bin_dir vault)/vault
	ENV
}
