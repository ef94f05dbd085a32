#!/usr/bin/env bash
# Makes an image of one static binary as an archive for load.sh, without a builder: for the pause
# image, before any registry or builder is needed, and for images with links or folders.
#
#   image.sh [-o FILE.tar] NAME:TAG BINARY [/PATH/IN/IMAGE [UID [EXTRA...]]]
#
# Each EXTRA adds to the image:
#   dir:/path            a folder that every user may write to
#   link:/path=TARGET    a symlink, for example link:/var/run=/run
#   file:/path=SOURCE    another file, mode kept
# Without -o the archive goes to NAME-TAG.tar in the current folder. Its path is printed.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

out=
if [[ ${1:-} == -o ]]; then
	out=${2:?FILE.tar}
	shift 2
fi
[[ $# -ge 2 ]] ||
	die "usage: image.sh [-o FILE.tar] NAME:TAG BINARY [/PATH/IN/IMAGE [UID [EXTRA...]]]"
image=$1 binary=$2 path=${3:-/$(basename "$2")} uid=${4:-65532}
shift $(($# < 4 ? $# : 4))
out=${out:-$(tr '/:' '--' <<<"$image").tar}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root$(dirname "$path")"
chmod -R 755 "$root"
install -m 755 "$binary" "$root$path"
for extra in "$@"; do
	rest=${extra#*:}
	at=$root${rest%%=*}
	mkdir -p "$(dirname "$at")"
	case $extra in
	dir:*) mkdir -p "$at" && chmod 1777 "$at" ;;
	link:*=*) ln -s "${rest#*=}" "$at" ;;
	file:*=*) cp "${rest#*=}" "$at" ;;
	*) die "not dir:, link: or file: $extra" ;;
	esac
done

# The same input gives the same image: times, owners and order do not depend on this machine.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) arch=$(uname -m) ;;
esac
jq -nc --arg path "$path" --arg uid "$uid" --arg arch "$arch" --arg layer "sha256:$layer" '{
	architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z",
	config: {Entrypoint: [$path], User: $uid, Env: ["PATH=/bin:/usr/bin"], WorkingDir: "/"},
	rootfs: {type: "layers", diff_ids: [$layer]}
}' >"$work/config.json"
jq -nc --arg image "$image" \
	'[{Config: "config.json", RepoTags: [$image], Layers: ["layer.tar"]}]' >"$work/manifest.json"
tar -C "$work" -cf "$out" manifest.json config.json layer.tar
echo "$out"
