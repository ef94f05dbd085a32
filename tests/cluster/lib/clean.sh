# Removing a cluster, or what a crash left of one. Sourced, never run.
# shellcheck shell=bash

# Processes that something put into the node's network namespace: what a test
# started through enter.sh. The namespace is learnt from processes that are ours
# for certain; its number alone could by now be another's.
guest_pids() {
	local pid ns own space known=()
	own=$(readlink /proc/self/ns/net)
	for pid in $(find "$(tracking_mount)/$ID/node" -name cgroup.procs -exec cat {} + 2>/dev/null); do
		ns=$(readlink "/proc/$pid/ns/net" 2>/dev/null) || continue
		[[ $ns == "$own" || $ns == "$(readlink /proc/1/ns/net)" ]] || known+=("$ns")
	done
	[[ ${#known[@]} -gt 0 ]] || return 0
	for space in $(printf '%s\n' "${known[@]}" | sort -u); do
		find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "$space" 2>/dev/null | cut -d/ -f3
	done
}

# The calling process and its parents, which a sweep must spare.
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

# Everything is killed outright: no state of it is kept, so there is nothing to
# shut down in order. Again until nothing is left, for what forked meanwhile.
kill_everything() {
	local victims mine round guests
	mine=$(own_pids)
	guests=$(guest_pids)
	for round in {1..100}; do
		victims=$({
			recorded_pids
			cgroup_pids
			((round > 1)) || printf '%s\n' "$guests"
		} | grep -E '^[0-9]+$' | sort -un | grep -vxF "$mine" || true)
		[[ -n $victims ]] || return 0
		# shellcheck disable=SC2086
		kill -KILL $victims 2>/dev/null || true
		sleep 0.05
	done
	say "could not kill: $(tr '\n' ' ' <<<"$victims")"
	return 1
}

clean_cluster() {
	local attempt
	# A folder that up.sh did not make is not ours to delete.
	if [[ -e $DIR && ! -e $DIR/.enclii-cluster && -n $(ls -A "$DIR") ]]; then
		die "$DIR has no cluster in it; not touching it"
	fi
	kill_everything || true
	remove_shadowed
	for attempt in {1..50}; do
		remove_cgroups
		[[ -n $(cgroups_left) ]] || break
		sleep 0.05
	done
	# The namespaces' mounts vanish with their last process; until that moment a removal can fail.
	for attempt in {1..50}; do
		rm -rf --one-file-system "$DIR" 2>/dev/null && break
		sleep 0.1
	done
	[[ ! -e $DIR ]] || rm -rf --one-file-system "$DIR" || die "could not remove $DIR"
	[[ -z $(cgroups_left) ]] || die "cgroups left behind: $(cgroups_left | tr '\n' ' ')"
}
