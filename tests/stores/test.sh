#!/usr/bin/env bash
# Runs the tests that need root, or a real PostgreSQL, MariaDB, Redis, HAProxy, Prometheus, Vault or
# rsyslog on this machine. Installs or builds what is missing. ENCLII_CRASH_KILLS sets how often the
# crash tests kill each program.
HERE=$(cd "$(dirname "$0")/../cluster" && pwd)
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=tests/cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
cd "$HERE/../.."
export RUST_BACKTRACE=0
: "${ENCLII_BIN:?run this through make}"

require_packages util-linux:setpriv rsyslog:rsyslogd \
	"rsyslog-openssl:/usr/lib/$(uname -m)-linux-gnu/rsyslog/lmnsd_ossl.so" strace:strace \
	e2fsprogs:mkfs.ext4 openssl:openssl \
	postgresql-15:/usr/lib/postgresql/15/bin/postgres \
	redis-server:redis-server redis-tools:redis-cli haproxy:haproxy \
	prometheus:prometheus \
	mariadb-server-core:mariadbd mariadb-client-core:mariadb
"$HERE/build.sh" vault
ENCLII_VAULT=$("$HERE/build.sh" --path vault)/vault
export ENCLII_VAULT
# Always the whole workspace, so that every test shares one build of the dependencies.
run=(cargo test --locked --workspace --no-fail-fast)
# These mount small file systems in a mount namespace of their own, which ends with them.
mounting=(--lib --test system --test memory --test signal --test stream)
servers=(--test vault --test crash --test logins --test reload)
aside=(--test sealing --test replicas)
"${run[@]}" "${mounting[@]}" --no-run
"${run[@]}" "${servers[@]}" "${aside[@]}" --no-run

# Most of these tests wait for a server, so a part of them runs beside the others. It is a group
# of processes of its own, to be ended as a whole. Without `env` it would ignore the interrupts that
# its tests send to programs of theirs. What it says is shown at the end.
said=$(mktemp)
setsid env --default-signal "${run[@]}" "${aside[@]}" >"$said" 2>&1 &
group=$!
# shellcheck disable=SC2317 # The trap calls it.
finish() {
	[[ -z $group ]] || kill -- "-$group" 2>/dev/null || true
	cat "$said"
	rm -f "$said"
}
trap finish EXIT
status=0
unshare --mount "${run[@]}" "${mounting[@]}" -- --ignored || status=$?
"${run[@]}" "${servers[@]}" || status=$?
wait "$group" || status=$?
group=
exit "$status"
