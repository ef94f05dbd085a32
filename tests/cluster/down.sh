#!/usr/bin/env bash
# Removes the cluster and every trace of it, whatever state it is in. Needs root.
HERE=$(cd "$(dirname "$0")" && pwd)
for part in common cgroup process shadow clean; do
	# shellcheck source=/dev/null
	. "$HERE/lib/$part.sh"
done

need_root down.sh
mkdir -p "$CACHE"
exec 9>"$CACHE/$ID.lock"
flock 9
if [[ ! -e $DIR && -z $(cgroups_left) ]]; then
	say "nothing to remove"
	exit
fi
clean_cluster
say "removed $DIR"
