#!/usr/bin/env bash
# A file is one idea: no Rust file over 400 lines.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=400
long=$(git ls-files -z --cached --others --exclude-standard '*.rs' | xargs -0 wc -l | awk -v limit=$limit '$2 != "total" && $1 > limit { print "  " $2 ": " $1 " lines" }')
if [[ -n $long ]]; then
    printf 'files over %s lines; cut them where the idea changes:\n%s\n' "$limit" "$long" >&2
    exit 1
fi
