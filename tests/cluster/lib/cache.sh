# Where the built programs are: outside the tree, one folder per version of their sources. Sourced,
# never run.
# shellcheck shell=bash

# source_of NAME: the folder of its Go module. Kubernetes has one for each version:
# ENCLII_KUBERNETES chooses an older one, as 1.29.
source_of() {
	local name=$1
	[[ $name != kube || -z ${ENCLII_KUBERNETES:-} ]] || name=kube-$ENCLII_KUBERNETES
	[[ -d $HERE/$name ]] || die "there is no $HERE/$name (ENCLII_KUBERNETES: 1.35, 1.29 or unset)"
	echo "$HERE/$name"
}

# module_of NAME: the Go module whose version is the version of NAME.
module_of() {
	case $1 in
	kube) echo k8s.io/kubernetes ;;
	coredns) echo github.com/coredns/coredns ;;
	vault) echo github.com/hashicorp/vault ;;
	pause) echo - ;;
	*) die "no such program: $1 (kube, coredns, vault, pause)" ;;
	esac
}

# version_of NAME: from its go.mod, the only place that has the version.
version_of() {
	local module source
	module=$(module_of "$1")
	source=$(source_of "$1")
	if [[ $module == - ]]; then
		echo v1
	else
		awk -v m="$module" '
			$1 == m && $2 ~ /^v/ { print $2; exit }
			$1 == "require" && $2 == m { print $3; exit }
		' "$source/go.mod"
	fi
}

# bin_dir NAME: the folder of the programs of NAME, built or not.
bin_dir() {
	local version source hash
	version=$(version_of "$1")
	source=$(source_of "$1")
	hash=$(find "$source" -maxdepth 1 \( -name go.mod -o -name go.sum -o -name 'main.*' \) -print0 |
		LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c1-10)
	echo "$CACHE/$1-$version-$hash/bin"
}
