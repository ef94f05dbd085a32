#!/usr/bin/env bash
# The rules of deny.toml: bans (one TLS stack, one crypto provider), licences and sources. Installs
# cargo-deny where it is missing. Advisories change overnight and need a database from the network,
# so the hosted workflow checks them and this script does not.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
root=${ENCLII_CACHE:-$HOME/.cache/enclii}/cargo-deny-$version
if [[ ! -x $root/bin/cargo-deny ]]; then
    printf 'lint: installing cargo-deny %s, a few minutes once\n' "$version" >&2
    # From elsewhere, so that this workspace's build settings do not apply; unoptimized, since it
    # runs for a second.
    (cd "$HOME" && cargo install --quiet --locked --debug --root "$root" "cargo-deny@$version")
fi
"$root/bin/cargo-deny" --log-level error --locked --all-features check \
    --hide-inclusion-graph bans licenses sources
