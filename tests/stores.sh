#!/usr/bin/env bash
# Runs the tests that need a real PostgreSQL or a real Vault on this machine; installs the one and builds the
# other where they are missing (root). ENCLII_CRASH_KILLS says how often each of them is killed.
HERE=$(cd "$(dirname "$0")/cluster" && pwd)
# shellcheck source=cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
cd "$HERE/../.."
export RUST_BACKTRACE=0 ENCLII_BIN=$PWD/target/bin

require_packages util-linux:setpriv rsyslog:rsyslogd rsyslog-openssl:/usr/lib/$(uname -m)-linux-gnu/rsyslog/lmnsd_ossl.so strace:strace openssl:openssl postgresql-15:/usr/lib/postgresql/15/bin/postgres
"$HERE/build.sh" vault
ENCLII_VAULT=$("$HERE/build.sh" --path vault)/vault
export ENCLII_VAULT
cargo test --locked --release -p enclii-e2e --features stores --no-fail-fast
cargo test --locked --release -p enclii-lockbox --features vault --test vault
cargo test --locked --release -p enclii-switchyard --features machine --test system --no-fail-fast -- rsyslog disk
