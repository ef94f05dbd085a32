# Starts a process of the cluster, recognizes it and shows why it died. Sourced, never run.
# shellcheck shell=bash

# started_at PID: when the process started, in clock ticks since boot. A pid alone is reused; with
# its start time it names one process.
started_at() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# The name in parentheses may hold spaces; field 22 of the whole is the 20th after it.
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	[[ $1 != Z ]] && echo "${20}"
}

# alive NAME: whether the process recorded under NAME is still running.
alive() {
	local pid began
	[[ -r $DIR/pids/$1 ]] && read -r pid began <"$DIR/pids/$1" &&
		[[ $(started_at "$pid") == "$began" ]]
}

pid_of() { cut -d' ' -f1 "$DIR/pids/$1"; }

# launch NAME COMMAND...: in the background, its own session, output to logs/NAME.log.
# The parent's other file descriptors, such as a lock, are not inherited.
launch() {
	local name=$1
	shift
	(
		join_cgroup
		self=$BASHPID
		echo "$self $(started_at "$self")" >"$DIR/pids/$name"
		exec setsid "$@"
	) >>"$DIR/logs/$name.log" 2>&1 </dev/null 9>&- &
	disown
	# Returns only when the record exists.
	until [[ -s $DIR/pids/$name ]]; do sleep 0.01; done
}

in_node() { nsenter -t "$(pid_of node)" -n -m -- "$@"; }

# start NAME COMMAND...: launch inside the node's namespaces.
start() {
	local name=$1
	shift
	launch "$name" nsenter -t "$(pid_of node)" -n -m -- "$@"
}

fail_with_log() {
	local name=$1 reason=$2
	say "$reason; the end of $DIR/logs/$name.log:"
	tail -n 25 "$DIR/logs/$name.log" >&2 || true
	die "$name failed. down.sh removes what was started"
}

# await NAME WHAT COMMAND...: until the command succeeds, NAME dies or time is up.
await() {
	local name=$1 what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		alive "$name" || fail_with_log "$name" "$name exited while waiting for $what"
		((SECONDS < DEADLINE)) || fail_with_log "$name" "still waiting for $what after $TIMEOUT s"
		sleep 0.1
	done
}
