#!/usr/bin/env bash
# Runs the login tests against a certified OpenID provider, which npm installs into the cache.
HERE=$(cd "$(dirname "$0")/../cluster" && pwd)
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=tests/cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
cd "$HERE/../.."
export RUST_BACKTRACE=0
: "${ENCLII_BIN:?run this through make}"

require_packages nodejs:node npm:npm
lock=$(sha256sum tests/oidc/package-lock.json | cut -c1-16)
provider=$CACHE/oidc-provider-$lock
if [[ ! -e $provider/node_modules ]]; then
	say "installing the OpenID provider"
	rm -rf "$provider.new" && mkdir -p "$provider.new"
	cp tests/oidc/package.json tests/oidc/package-lock.json "$provider.new"
	if ! npm ci --prefix "$provider.new" --ignore-scripts --no-audit --no-fund \
		>"$provider.log" 2>&1; then
		tail -20 "$provider.log" >&2
		die "npm could not install the OpenID provider"
	fi
	rm -rf "$provider" && mv "$provider.new" "$provider"
fi
export ENCLII_OIDC_MODULES=$provider/node_modules
cargo test --locked --workspace --test oidc --no-fail-fast
