#!/usr/bin/env bash
# Imports image archives into the cluster, so that pods can use them (there is no registry).
#
#   load.sh FILE.tar...
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"

[[ $# -gt 0 ]] || die "usage: load.sh FILE.tar..."
for file in "$@"; do
	output=$("$HERE/enter.sh" ctr -a "$DIR/containerd/containerd.sock" -n k8s.io \
		images import "$file" 2>&1) || die "could not import $file: $output"
	say "loaded $file"
done
