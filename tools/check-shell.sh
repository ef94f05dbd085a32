#!/usr/bin/env bash
# Every tracked shell script passes shellcheck. Installs it where it is missing (Debian, root).
set -euo pipefail
cd "$(dirname "$0")/.."
# By their first line too: hooks and .ci/run have no suffix.
mapfile -t scripts < <(
    {
        git ls-files -- '*.sh'
        git grep -lE '^#!(/usr/bin/env |/bin/)(ba)?sh' -- ':!*.md' || true
    } | sort -u
)
if ((${#scripts[@]} == 0)); then
    printf 'check-shell: found no shell script to check\n' >&2
    exit 1
fi
if ! command -v shellcheck >/dev/null; then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        printf 'check-shell: shellcheck is missing: apt-get install shellcheck\n' >&2
        exit 1
    fi
    { apt-get install -y --no-install-recommends shellcheck ||
        { apt-get update && apt-get install -y --no-install-recommends shellcheck; }; } >&2
fi
shellcheck --external-sources --source-path=SCRIPTDIR --source-path=SCRIPTDIR/.. \
    --source-path="$PWD" "${scripts[@]}"
printf 'check-shell: %s scripts are clean\n' "${#scripts[@]}"
