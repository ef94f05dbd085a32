#!/usr/bin/env bash
# Tests a real switchyard against its OpenAPI document with requests that schemathesis generates:
# valid ones, invalid ones and sequences. ENCLII_API_TIME limits the run, in seconds.
# shellcheck disable=SC2317 # `finish` is called by the trap.
set -euo pipefail
HERE=$(cd "$(dirname "$0")/../cluster" && pwd)
# shellcheck source=tests/cluster/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=tests/cluster/lib/packages.sh
. "$HERE/lib/packages.sh"
api=$(cd "$(dirname "$0")" && pwd)
document=$api/../../docs/openapi.json
switchyard=${ENCLII_BIN:?}/switchyard

require_packages python3:python3 curl:curl
python3 -c "import ensurepip" 2>/dev/null || apt_install python3-venv
venv=$CACHE/schemathesis-$(sha256sum "$api/requirements.txt" | cut -c1-10)
if [[ ! -x $venv/bin/schemathesis ]]; then
	rm -rf "$venv"
	mkdir -p "$CACHE"
	if ! python3 -m venv "$venv" ||
		! "$venv/bin/pip" install -q --disable-pip-version-check -r "$api/requirements.txt"; then
		rm -rf "$venv"
		die "pip could not install the API tester"
	fi
fi

work=$(mktemp -d)
running=
finish() {
	if [[ -n $running ]]; then
		kill "$running" 2>/dev/null || true
		wait "$running" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT

# A free port, below the range that the kernel gives to outgoing connections.
free_port() {
	python3 - <<-'PYTHON'
		import random, socket
		while True:
		    with socket.socket() as candidate:
		        try:
		            candidate.bind(("127.0.0.1", random.randrange(20000, 32000)))
		        except OSError:
		            continue
		        print(candidate.getsockname()[1])
		        break
	PYTHON
}
port=$(free_port)
echo '{"namespaces": {}, "identities": []}' >"$work/identities.json"
"$switchyard" serve --listen "127.0.0.1:$port" --admin "127.0.0.1:$(free_port)" \
	--data "$work/data" --drain-notice 0 --development-identities "$work/identities.json" \
	--rate-limit 0 --log-filter warn >"$work/log" 2>&1 &
running=$!
ca=$work/data/trust/ca.crt
url=https://127.0.0.1:$port
for _ in $(seq 300); do
	[[ -s $ca && -s $work/data/bootstrap-token ]] &&
		curl -fsS --cacert "$ca" "$url/v1/health" >/dev/null 2>&1 && break
	kill -0 "$running" 2>/dev/null || { cat "$work/log" >&2; die "switchyard ended"; }
	sleep 0.1
done
curl -fsS --cacert "$ca" "$url/v1/openapi.json" | python3 -m json.tool --sort-keys >"$work/served"
python3 -m json.tool --sort-keys "$document" | cmp - "$work/served" ||
	die "switchyard serves another document than docs/openapi.json"

token=$(<"$work/data/bootstrap-token")
# write SCOPE NAME: makes a secret with three versions, so that some requests find one.
write() {
	for value in b25l dHdv dGhyZWU=; do
		curl -fsS --cacert "$ca" -H "Authorization: Bearer $token" \
			-H 'Content-Type: application/json' \
			-d "{\"secrets\": {\"$2\": {\"value\": \"$value\"}}}" "$url/v1/secrets/$1/" >/dev/null
	done
}
write shop.prod.api DATABASE_URL
write shop.prod API_KEY

checks=not_a_server_error,status_code_conformance,content_type_conformance
checks+=,response_headers_conformance,response_schema_conformance,negative_data_rejection
checks+=,positive_data_acceptance,unsupported_method,use_after_free
checks+=,ensure_resource_availability,ignored_auth
# revokeToken is left out: it could revoke the token that the test itself uses.
status=0
REQUESTS_CA_BUNDLE=$ca "$venv/bin/schemathesis" --config-file "$api/schemathesis.toml" \
	run "$document" --url "$url" \
	--header "Authorization: Bearer $token" --tls-verify "$ca" --checks "$checks" \
	--phases examples,coverage,fuzzing,stateful --max-time "${ENCLII_API_TIME:-100}" \
	--seed "${ENCLII_API_SEED:-20}" --exclude-operation-id revokeToken \
	--continue-on-failure --no-color "$@" || status=$?
kill -0 "$running" 2>/dev/null || { tail -50 "$work/log" >&2; die "switchyard ended"; }
# An empty folder of logs would pass the search for panics.
[[ -e $work/log ]] || die "switchyard wrote no log"
if grep -i panic "$work/log"; then die "switchyard panicked"; fi
exit "$status"
