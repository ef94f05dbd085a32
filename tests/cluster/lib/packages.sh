# Installs Debian packages that are missing. Sourced, never run.
# shellcheck shell=bash disable=SC2034

# PACKAGE:PROOF, where the proof that the package is installed is a command or a path.
PACKAGES=(
	containerd:containerd
	runc:runc
	containernetworking-plugins:/usr/lib/cni/ptp
	iproute2:ip
	nftables:nft
	iptables:iptables
	conntrack:conntrack
	socat:socat
	util-linux:nsenter
	procps:ps
	openssl:openssl
	curl:curl
	jq:jq
	buildah:buildah
	ca-certificates:/etc/ssl/certs/ca-certificates.crt
)

have() {
	case $1 in
	/*) [[ -e $1 ]] ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
	esac
}

apt_install() {
	command -v apt-get >/dev/null || die "packages are missing and there is no apt-get: $*"
	[[ $(id -u) == 0 ]] || die "packages are missing; run as root: apt-get install $*"
	say "installing Debian packages: $*"
	# Debian would start containerd as a service; up.sh starts its own, in its own namespaces.
	local policy=/usr/sbin/policy-rc.d made=
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		made=yes
	fi
	local log status=0
	log=$(mktemp)
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -y --no-install-recommends "$@" ||
			{ apt-get update && apt-get install -y --no-install-recommends "$@"; }
	} >"$log" 2>&1 </dev/null || status=$?
	[[ -z $made ]] || rm -f "$policy"
	if [[ $status != 0 ]]; then
		tail -20 "$log" >&2
		rm -f "$log"
		die "apt-get could not install: $*"
	fi
	rm -f "$log"
}

# require_packages PACKAGE:PROOF...
require_packages() {
	local entry missing=()
	for entry in "$@"; do
		have "${entry#*:}" || missing+=("${entry%%:*}")
	done
	[[ ${#missing[@]} == 0 ]] || apt_install "${missing[@]}"
}

require_compiler() {
	if ! have cc || ! have /usr/include/stdio.h; then
		apt_install gcc libc6-dev
	fi
}
