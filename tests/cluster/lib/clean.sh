# Removing a cluster, or what a crash left of one. Sourced, never run.
# shellcheck shell=bash disable=SC2034,SC2013

# Processes that a test started through enter.sh, in the node's network namespace. The namespace is
# read from processes in the cluster's cgroup; a stored number could be another namespace's by now.
guest_pids() {
	local pid ns own space known=()
	own=$(readlink /proc/self/ns/net)
	for pid in $(cat "$(tracking_mount)/$ID/node/cgroup.procs" 2>/dev/null); do
		ns=$(readlink "/proc/$pid/ns/net" 2>/dev/null) || continue
		[[ $ns == "$own" || $ns == "$(readlink /proc/1/ns/net)" ]] || known+=("$ns")
	done
	[[ ${#known[@]} -gt 0 ]] || return 0
	# For find, the brackets of net:[NUMBER] would be a pattern.
	for space in $(printf '%s\n' "${known[@]}" | tr '[]' '??' | sort -u); do
		find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "$space" 2>/dev/null | cut -d/ -f3
	done
}

# The calling process and its parents, which must not be killed.
own_pids() {
	local pid=$BASHPID
	while [[ -n $pid && $pid -gt 0 ]]; do
		echo "$pid"
		pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
	done
}

recorded_pids() {
	local file
	for file in "$DIR"/pids/*; do
		[[ ! -e $file ]] || ! alive "${file##*/}" || pid_of "${file##*/}"
	done
}

# Waits a moment for the parents, mostly process 1, to reap the killed processes, so that none of
# them is listed any more.
await_reaped() {
	local pid attempt
	for attempt in {1..40}; do
		for pid in "$@"; do
			[[ ! -d /proc/$pid ]] || { sleep 0.05 && continue 2; }
		done
		return 0
	done
}

# Kills everything at once: no state is kept, so nothing needs an orderly shutdown. Repeats until
# nothing is left, since a process may fork meanwhile.
kill_everything() {
	local victims mine round guests killed=()
	mine=$(own_pids)
	guests=$(guest_pids)
	for round in {1..100}; do
		victims=$({
			recorded_pids
			cgroup_pids
			((round > 1)) || printf '%s\n' "$guests"
		} | grep -E '^[0-9]+$' | sort -un | grep -vxF "$mine" || true)
		if [[ -z $victims ]]; then
			await_reaped "${killed[@]}"
			return 0
		fi
		mapfile -t -O "${#killed[@]}" killed <<<"$victims"
		# shellcheck disable=SC2086
		kill -KILL $victims 2>/dev/null || true
		sleep 0.05
	done
	say "could not kill: $(tr '\n' ' ' <<<"$victims")"
	return 1
}

# Inside the cluster's namespaces its mounts would be busy and this process would be killed.
refuse_inside() {
	alive node || return 0
	[[ $(readlink /proc/self/ns/mnt) != "$(readlink "/proc/$(pid_of node)/ns/mnt")" ]] ||
		die "this was called through enter.sh: call it from outside the cluster"
}

clean_cluster() {
	local attempt
	refuse_inside
	# Do not delete a folder that up.sh did not make.
	if [[ -e $DIR && ! -e $DIR/.enclii-cluster ]] &&
		[[ -n $(ls -A "$DIR") && -z $(cgroups_left) ]]; then
		die "$DIR has no cluster in it; not touching it"
	fi
	kill_everything || true
	remove_shadowed
	for attempt in {1..50}; do
		remove_cgroups
		[[ -n $(cgroups_left) ]] || break
		sleep 0.05
	done
	# The namespaces' mounts vanish with their last process; until then a removal can fail. The
	# marker goes last, so that an interrupted removal can be repeated.
	for attempt in {1..50}; do
		find "$DIR" -mindepth 1 -maxdepth 1 ! -name .enclii-cluster \
			-exec rm -rf --one-file-system {} + 2>/dev/null &&
			rm -rf "$DIR" && break
		[[ -e $DIR ]] || break
		sleep 0.1
	done
	[[ ! -e $DIR ]] || die "could not remove $DIR: $(find "$DIR" | head -3 | tr '\n' ' ')"
	[[ -z $(cgroups_left) ]] || die "cgroups left behind: $(cgroups_left | tr '\n' ' ')"
}
