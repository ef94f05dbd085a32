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
tests=(cargo test --locked --workspace --no-fail-fast)
for tests_of in "--lib --test system --test memory --test signal --test stream" \
	"--test sealing --test vault --test replicas --test crash --test logins --test reload"; do
	# shellcheck disable=SC2086 # A list of flags.
	"${tests[@]}" $tests_of --no-run
done

# Most of these tests wait for a server, so two halves run side by side. What the first one says is
# shown when it has ended.
said=$(mktemp)
# Without `env` it would ignore the interrupts that its tests send to programs of theirs.
env --default-signal "${tests[@]}" --test sealing --test replicas >"$said" 2>&1 &
half=$!
trap 'kill "$half" 2>/dev/null || true; rm -f "$said"' EXIT
status=0
# The tests mount small file systems in a mount namespace of their own, which ends with them.
unshare --mount "${tests[@]}" --lib --test system --test memory --test signal --test stream \
	-- --ignored || status=$?
"${tests[@]}" --test vault --test crash --test logins --test reload || status=$?
wait "$half" || status=$?
cat "$said"
exit "$status"
