# Fixed paths over which the node mounts folders of its own. The mount points must exist on the
# machine; those made here hold a marker and are removed again. Sourced, never run.
# shellcheck shell=bash

SHADOWED=(/run/containerd /run/netns /var/lib/cni /var/lib/kubelet)
SHADOWED+=(/var/log/pods /var/log/containers)
MARKER=.made-by-enclii-test-cluster

make_shadowed() {
	local path
	for path in "${SHADOWED[@]}"; do
		if [[ ! -d $path ]]; then
			mkdir -p "$path"
			touch "$path/$MARKER"
		fi
	done
	printf '%s\n' "${SHADOWED[@]}" >"$DIR/shadow.list"
}

# Removing a mount point would also remove the mount of another running cluster, so one that is
# still mounted somewhere stays.
remove_shadowed() {
	local path
	for path in "${SHADOWED[@]}"; do
		[[ -e $path/$MARKER ]] || continue
		! grep -qsF " $path " /proc/[0-9]*/mountinfo || continue
		rm -f "$path/$MARKER"
		rmdir "$path" 2>/dev/null || true
	done
}
