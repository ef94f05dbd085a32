# The cluster's certificates: a CA, and another one for the aggregation layer. Sourced, never run.
# shellcheck shell=bash

# In a client certificate, CN is the user and O is the group.
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
		-subj "/CN=$2" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}

# certificate NAME SUBJECT USAGE [AUTHORITY [ALT_NAMES]]
certificate() {
	local name=$1 subject=$2 usage=$3 by=${4:-ca} alt=${5:-}
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
		-keyout "$PKI/$name.key" 2>/dev/null |
		openssl x509 -req -days 365 -CA "$PKI/$by.crt" -CAkey "$PKI/$by.key" \
			-set_serial "0x$(openssl rand -hex 15)" -out "$PKI/$name.crt" -extfile <(
				echo "keyUsage=critical,digitalSignature"
				echo "extendedKeyUsage=$usage"
				[[ -z $alt ]] || echo "subjectAltName=$alt"
			) 2>/dev/null
}

make_pki() {
	mkdir -m 700 "$PKI"
	openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null &
	authority ca enclii-test-cluster
	authority front-proxy-ca enclii-test-front-proxy
	local names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
	names+=,DNS:kubernetes.default.svc.$DOMAIN,DNS:localhost
	names+=,IP:127.0.0.1,IP:$NODE_IP,IP:$API_IP
	certificate apiserver /CN=kube-apiserver serverAuth ca "$names"
	certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet clientAuth
	certificate front-proxy /CN=front-proxy-client clientAuth front-proxy-ca
	certificate admin /O=system:masters/CN=admin clientAuth
	certificate controller-manager /CN=system:kube-controller-manager clientAuth
	certificate scheduler /CN=system:kube-scheduler clientAuth
	certificate kube-proxy /CN=system:kube-proxy clientAuth
	certificate coredns /CN=coredns clientAuth
	certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
	certificate kubelet-serving "/O=system:nodes/CN=system:node:$NODE_NAME" serverAuth ca \
		"DNS:$NODE_NAME,IP:$NODE_IP"
	# What the API server shows to admission webhooks that ask for it, from a CA for nothing else.
	authority admission-client-ca enclii-test-admission-client
	certificate admission-client /CN=kube-apiserver clientAuth admission-client-ca
	wait
	openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# kubeconfig CERTIFICATE FILE: a kubeconfig that refers to no other file.
kubeconfig() {
	local ca crt key
	ca=$(base64 -w0 <"$PKI/ca.crt")
	crt=$(base64 -w0 <"$PKI/$1.crt")
	key=$(base64 -w0 <"$PKI/$1.key")
	(
		umask 077
		cat >"$2" <<-YAML
			apiVersion: v1
			kind: Config
			current-context: enclii-test
			clusters:
			- name: enclii-test
			  cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $ca}
			users:
			- name: $1
			  user: {client-certificate-data: $crt, client-key-data: $key}
			contexts:
			- name: enclii-test
			  context: {cluster: enclii-test, user: $1}
		YAML
	)
}
