# Two words are all that a newcomer needs: `make demo` and `make test`. `make help` lists the others.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# The triple that .cargo/config.toml builds for, which is the machine's own.
TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
OUT := target/$(TRIPLE)
export ENCLII_BIN := $(CURDIR)/target/bin

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build every program, statically linked, into target/bin
	$(CARGO) build --locked --release --bins
	$(CARGO) build --locked --profile webhook -p enclii-webhook
	$(CARGO) build --locked --profile agent -p enclii-agent
	@mkdir -p target/bin
	@for it in enclii switchyard enclii-sample enclii-demo enclii-bench; do cp -u $(OUT)/release/$$it target/bin/; done
	@cp -u $(OUT)/webhook/enclii-webhook $(OUT)/agent/enclii-agent target/bin/

.PHONY: demo
demo: build ## the whole system on loopback: no cluster, no root; KEEP=1 stays up
	@target/bin/enclii-demo $(if $(KEEP),--keep)

.PHONY: test
test: lint test-fast test-api test-stores test-oidc test-cluster ## everything, with a real cluster; installs what it needs (root)

.PHONY: test-fast
test-fast: build ## what needs neither root nor a network
	$(CARGO) test --locked --release --workspace --no-fail-fast
	@target/bin/enclii-demo

.PHONY: test-stores
test-stores: build ## the tests beside a real PostgreSQL and a real Vault; installs what they need (root)
	@tests/stores/test.sh

.PHONY: test-api
test-api: build ## the API with requests that a property-based tester makes up; installs it (root where Python is missing)
	@tests/api/test.sh

.PHONY: test-oidc
test-oidc: build ## people's logins with a certified OpenID provider; installs what it needs (root where node is missing)
	@tests/oidc/test.sh

.PHONY: test-crash
test-crash: build ## switchyard, PostgreSQL and Vault killed 300 times each, in the middle of everything (root)
	@ENCLII_CRASH_KILLS=300 tests/stores/test.sh

.PHONY: test-cluster
test-cluster: ## the tests on a real cluster; KUBECONFIG names one, else one is made and removed
	@tests/cluster/test.sh

.PHONY: cluster
cluster: build ## a real cluster on this machine with the system installed (root)
	@tests/cluster/build.sh kube coredns
	@tests/cluster/up.sh
	@tests/cluster/install.sh

.PHONY: cluster-down
cluster-down: ## remove every trace of it
	@tests/cluster/down.sh

.PHONY: bench
bench: build ## measure the budgets beside their peers: a table and target/bench.json (root for the cluster's part)
	@bench/run.sh

.PHONY: lint
lint: ## formatting, clippy, file sizes, dependency rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --release --workspace --test '*' -- -D warnings
	@tools/check-sizes.sh
	@tools/check-dependencies.sh

.PHONY: openapi
openapi: ## write docs/openapi.json anew from the handlers' annotations
	ENCLII_RENEW=1 $(CARGO) test --locked --release -p enclii-switchyard --lib api::document

.PHONY: clean
clean: ## remove what was built here; the caches of Kubernetes and Vault outside the tree stay
	$(CARGO) clean
