#!/usr/bin/env bash
# Fuzzes each target for a bounded time, on the compiler that builds the rest.
#
#   run.sh [TARGET...]    ENCLII_FUZZ_SECONDS for each (default 10)
#
# What is found stays in target/fuzz/found; put it into fuzz/seeds/TARGET with the fix. What leads
# to new code is kept in target/fuzz/corpus, and the next run goes on from there.
# shellcheck disable=SC2317 # `finish` is called by the trap.
set -euo pipefail
fuzz=$(cd "$(dirname "$0")" && pwd)
HERE=$fuzz/../tests/cluster
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=tests/cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
say() { printf 'fuzz: %s\n' "$*" >&2; }
seconds=${ENCLII_FUZZ_SECONDS:-10}
work=$ROOT/target/fuzz
corpus=$work/corpus found=$work/found
require_packages g++:c++

targets=("$@")
if [[ ${#targets[@]} == 0 ]]; then
	for file in "$fuzz"/fuzz_targets/*.rs; do
		targets+=("$(basename "$file" .rs)")
	done
fi

# The counters that libFuzzer reads, as cargo-fuzz asks for them. A target must be named: the build
# scripts have no libFuzzer to link to.
triple=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
say "building ${#targets[@]} fuzz targets"
RUSTFLAGS="$coverage --cfg fuzzing" CARGO_TARGET_DIR=$work/build CARGO_INCREMENTAL=0 \
	cargo build --locked --quiet --release --target "$triple" --manifest-path "$fuzz/Cargo.toml"

running=
finish() { [[ -z $running ]] || kill "$running" 2>/dev/null || true; }
trap finish EXIT
status=0
for target in "${targets[@]}"; do
	mkdir -p "$corpus/$target" "$found/$target"
	log=$work/$target.log
	# Inputs of up to 64 KiB; `-timeout` ends what does not end by itself.
	"$work/build/$triple/release/$target" "$corpus/$target" "$fuzz/seeds/$target" \
		-dict="$fuzz/words.dict" -max_len=65536 -max_total_time="$seconds" -timeout=20 \
		-rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found/$target/" \
		>"$log" 2>&1 &
	running=$!
	if wait "$running"; then
		runs=$(awk '$1 == "stat::number_of_executed_units:" { print $2 }' "$log")
		edges=$(grep -oE ' cov: [0-9]+' "$log" | tail -n 1)
		# A target that does not even read its seeds passes any time.
		[[ ${runs:-0} -gt 100 ]] || die "$target ran ${runs:-0} times; see $log"
		say "$target: $runs runs,${edges/ cov:/ edges}"
	else
		status=1
		grep -E "panicked|^assertion|ERROR|deadly|Test unit" -A2 "$log" | head -n 20 >&2
		say "$target found something; all of its output is in $log, and this repeats it:"
		say "  $work/build/$triple/release/$target $found/$target/NAME"
	fi
	running=
done
exit "$status"
