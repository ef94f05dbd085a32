#!/usr/bin/env bash
# Builds an image from a Dockerfile without a daemon, as an archive for load.sh.
#
#   build-image.sh DOCKERFILE CONTEXT NAME:TAG OUT.tar [BUILDAH OPTION...]
#
# The Dockerfile starts FROM scratch, since there is no registry to pull a base image from. Takes
# less than a second and leaves only OUT.tar. The same input gives the same layers.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/packages.sh
. "$HERE/lib/packages.sh"

[[ $# -ge 4 ]] ||
	die "usage: build-image.sh DOCKERFILE CONTEXT NAME:TAG OUT.tar [BUILDAH OPTION...]"
dockerfile=$1 context=$2 image=$3 out=$4
shift 4
need_root build-image.sh
require_packages buildah:buildah

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The vfs driver and chroot isolation need no mounts and no namespaces, which some machines refuse.
# Without network_config_dir buildah would create /etc/cni.
printf '[network]\nnetwork_config_dir = "%s"\n' "$work/networks" >"$work/containers.conf"
export CONTAINERS_CONF=$work/containers.conf
store=(--root "$work/root" --runroot "$work/run" --storage-driver vfs)
if ! buildah "${store[@]}" bud --isolation chroot --format docker --timestamp 0 "$@" \
	-f "$dockerfile" -t "$image" "$context" >"$work/log" 2>&1 ||
	! buildah "${store[@]}" push "$image" "docker-archive:$work/image.tar:$image" \
		>>"$work/log" 2>&1; then
	cat "$work/log" >&2
	die "could not build $image from $dockerfile"
fi
mv "$work/image.tar" "$out"
echo "$out"
