#!/usr/bin/env bash
# One TLS stack and one crypto provider: rustls with aws-lc-rs. `deny.toml` says the same, with licences
# and advisories besides, for whoever has cargo-deny; this needs nothing but cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
for banned in ring openssl openssl-sys native-tls rustls-pemfile serde_yaml; do
    # `cargo tree -i` fails where the package is not in the tree, which is what we want to hear.
    if found=$(cargo tree --locked --workspace --edges normal,build -i "$banned" 2>/dev/null) && [[ -n $found ]]; then
        printf '%s must not be compiled:\n%s\n' "$banned" "$found" >&2
        exit 1
    fi
done
if command -v cargo-deny >/dev/null; then
    cargo deny --locked check bans licenses sources
fi
