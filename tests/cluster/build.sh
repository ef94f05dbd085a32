#!/usr/bin/env bash
# Builds the programs of the test cluster, once, into a cache outside the tree.
#
#   build.sh packages|pause|kube|coredns|vault|all ...   install and build what is missing
#   build.sh --path NAME                                 print where NAME's programs are
#
# Go builds take minutes the first time only: the folder's name holds a hash of go.mod, go.sum and
# the main file. ENCLII_KUBERNETES=1.35 or 1.29 makes `kube` an older Kubernetes than the newest.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/cache.sh
. "$HERE/lib/cache.sh"
# shellcheck source=lib/packages.sh
. "$HERE/lib/packages.sh"
# shellcheck source=lib/go.sh
. "$HERE/lib/go.sh"

# compile NAME INTO: the programs of NAME, into the folder INTO.
compile() {
	local name=$1 into=$2 version
	version=$(version_of "$name")
	if [[ $name == pause ]]; then
		require_compiler
		cc -static -Os -s -Wall -o "$into/pause" "$HERE/pause/main.c"
		return
	fi
	require_packages ca-certificates:/etc/ssl/certs/ca-certificates.crt
	find_go
	local ldflags="-s -w"
	if [[ $name == kube ]]; then
		local v=k8s.io/component-base/version
		ldflags+=" -X $v.gitVersion=$version -X $v.gitTreeState=clean"
		ldflags+=" -X $v.gitMajor=$(cut -d. -f1 <<<"${version#v}")"
		ldflags+=" -X $v.gitMinor=$(cut -d. -f2 <<<"$version")"
	fi
	if ! (cd "$(source_of "$name")" && CGO_ENABLED=0 GOWORK=off "$GO" build -trimpath -buildvcs=false \
		-ldflags "$ldflags" -o "$into/$name" . >"$CACHE/$name.log" 2>&1); then
		grep -v '^go: downloading' "$CACHE/$name.log" | tail -n 30 >&2
		die "could not build $name; all of its output is in $CACHE/$name.log"
	fi
	if [[ $name == kube ]]; then
		local program programs=(etcd kube-apiserver kube-controller-manager kube-scheduler)
		programs+=(kube-proxy kubelet kubectl)
		for program in "${programs[@]}"; do
			ln -s kube "$into/$program"
		done
	fi
}

build() {
	local name=$1 bin home began=$SECONDS
	bin=$(bin_dir "$name")
	home=${bin%/bin}
	[[ -d $home ]] && return
	mkdir -p "$CACHE"
	# Two runs at the same time share one build. The rename at the end makes an interrupted build
	# count as none.
	exec 8>"$CACHE/$name.lock"
	flock 8
	if [[ ! -d $home ]]; then
		say "building $name $(version_of "$name") (minutes, the first time)"
		rm -rf "$home".tmp.*
		mkdir -p "$home.tmp.$$/bin"
		compile "$name" "$home.tmp.$$/bin" 8>&-
		mv -T "$home.tmp.$$" "$home"
		say "built $name in $((SECONDS - began)) s"
	fi
	exec 8>&-
}

[[ $# -gt 0 ]] || die "usage: build.sh packages|pause|kube|coredns|vault|all ... | --path NAME"
if [[ $1 == --path ]]; then
	bin_dir "${2:?NAME}"
	exit
fi
for target in "$@"; do
	case $target in
	packages) require_packages "${PACKAGES[@]}" ;;
	pause | kube | coredns | vault) build "$target" ;;
	all)
		require_packages "${PACKAGES[@]}"
		build pause
		build kube
		build coredns
		build vault
		;;
	*) die "unknown target: $target" ;;
	esac
done
