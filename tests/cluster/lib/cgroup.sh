# The cluster's own cgroups. They find every process of the cluster again, even if its pid file or
# its parent is gone. Sourced, never run.
# shellcheck shell=bash disable=SC2013

# Every hierarchy of cgroup v1, v2 or both. In a hybrid, runc makes groups in the v2 hierarchy too,
# although that has no controllers.
cgroup_mounts() {
	local dir
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		echo /sys/fs/cgroup
		return
	fi
	for dir in /sys/fs/cgroup/*/; do
		dir=${dir%/}
		[[ -L $dir || ! -e $dir/cgroup.procs ]] || echo "$dir"
	done
}

# The hierarchy that tracks the node's own processes.
tracking_mount() {
	local mounts mount
	mounts=$(cgroup_mounts)
	for mount in /sys/fs/cgroup/pids /sys/fs/cgroup/systemd /sys/fs/cgroup; do
		if grep -qxF "$mount" <<<"$mounts"; then
			echo "$mount"
			return
		fi
	done
	head -n1 <<<"$mounts"
}

make_cgroups() {
	local mount setting
	for mount in $(cgroup_mounts); do
		mkdir -p "$mount/$ID"
		# A new cpuset is empty, and no process can run in an empty one.
		for setting in cpuset.cpus cpuset.mems; do
			[[ ! -w $mount/$ID/$setting || -e $mount/cgroup.controllers ]] ||
				cat "$mount/$setting" >"$mount/$ID/$setting"
		done
		if [[ -e $mount/cgroup.controllers ]]; then
			# v2: a child has only the controllers that its parent enables for it.
			for setting in $(cat "$mount/cgroup.controllers"); do
				echo "+$setting" >"$mount/cgroup.subtree_control" || true
				echo "+$setting" >"$mount/$ID/cgroup.subtree_control" || true
			done
		fi
	done
	mkdir -p "$(tracking_mount)/$ID/node"
}

# Puts the calling shell process into the cluster's cgroup.
join_cgroup() { echo "$BASHPID" >"$(tracking_mount)/$ID/node/cgroup.procs"; }

# Every process of the cluster: components, shims, containers.
cgroup_pids() {
	local mount
	for mount in $(cgroup_mounts); do
		[[ ! -d $mount/$ID ]] || find "$mount/$ID" -name cgroup.procs -exec cat {} + 2>/dev/null || true
	done | sort -un
}

remove_cgroups() {
	local mount
	for mount in $(cgroup_mounts); do
		[[ ! -d $mount/$ID ]] || find "$mount/$ID" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
}

cgroups_left() {
	local mount
	for mount in $(cgroup_mounts); do
		[[ ! -d $mount/$ID ]] || echo "$mount/$ID"
	done
}
