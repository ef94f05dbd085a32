#!/usr/bin/env bash
# Makes a new, empty 1Gi volume that a claim without a storage class binds to.
#
#   volume.sh NAME
#
# A volume serves one claim (its data is kept and it is not bound again), so a
# test that installs the product asks for one of its own. A volume of the same
# name is replaced, its data lost.
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

name=${1:?usage: volume.sh NAME}
path=$DIR/volumes/$name
"$HERE/enter.sh" kubectl delete persistentvolume "$name" --ignore-not-found --timeout=30s >/dev/null
rm -rf "$path"
mkdir -p "$path"
# The user that the product's images run as.
chown 65532:65532 "$path"
chmod 700 "$path"
sed -e "s|VOLUME_NAME|$name|" -e "s|VOLUME_PATH|$path|" "$HERE/volume.yaml" |
	"$HERE/enter.sh" kubectl apply -f - >/dev/null
