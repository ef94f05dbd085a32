#!/usr/bin/env bash
# Runs the tests that need a real PostgreSQL on this machine; installs it where it is missing (root).
HERE=$(cd "$(dirname "$0")/cluster" && pwd)
# shellcheck source=cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
cd "$HERE/../.."
export RUST_BACKTRACE=0 ENCLII_BIN=$PWD/target/bin

require_packages util-linux:setpriv postgresql-15:/usr/lib/postgresql/15/bin/postgres
cargo test --locked --release -p enclii-e2e --features stores --no-fail-fast
