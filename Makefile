# A newcomer needs `make demo` and `make test`. `make help` lists the other targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# One crate instead of the workspace: `make check P=enclii-agent`.
P ?=
PACKAGES := $(if $(P),-p $(P),--workspace)
# The triple that .cargo/config.toml builds for, which is the machine's own.
TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
OUT := target/$(TRIPLE)
# The programs that the demo and the tests run. Released images and benchmarks take those in
# target/bin.
export ENCLII_BIN ?= $(CURDIR)/$(OUT)/debug

# Most tests wait for a program or a timer: more of them at a time than there are processors.
export RUST_TEST_THREADS ?= $(shell cores=$$(nproc); echo $$((cores > 8 ? cores : 8)))

# Tests send signals to programs of theirs. Under `nohup`, or in the background of a script, those
# would ignore some of them from the start, and most programs leave it at that.
UNIGNORED := env --default-signal

# Those that `make test-matrix` tests besides the newest: the oldest that is still supported
# upstream, and the oldest that the system runs on.
OLDER_KUBERNETES := 1.35 1.29

# What `make build` builds with the release profile. Naming the packages keeps the features that
# only tests need out of them.
SHIPPED := -p enclii -p enclii-switchyard -p enclii-sample -p enclii-e2e -p enclii-bench

# An older glibc does not start a program with packed relocations.
GLIBC := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2\.//p')
PACKED := $(shell [ "$(GLIBC)" -ge 36 ] 2>/dev/null && echo --config .cargo/packed.toml)
SMALLEST := $(PACKED) --config .cargo/abort.toml

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## prepare a clone for work: the toolchain, the dependencies and the pre-commit hook
	@tools/setup.sh

.PHONY: check
check: ## compile without running anything, quickly; P=CRATE takes one crate
	$(CARGO) check --locked $(PACKAGES) --all-targets
	$(if $(P),,$(CARGO) check --locked --workspace --test '*')

.PHONY: programs
programs: ## build the programs that the demo and the tests run
	$(CARGO) build --locked --workspace --exclude enclii-bench --exclude enclii-lint --bins

.PHONY: build
build: ## build every program as it ships, statically linked and optimized, into target/bin
	$(CARGO) build --locked --release --bins $(SHIPPED)
	$(CARGO) build --locked $(PACKED) --profile webhook -p enclii-webhook
	$(CARGO) build --locked $(SMALLEST) --profile agent -p enclii-agent
	$(CARGO) build --locked $(SMALLEST) --profile agent -p enclii-login-check
	$(CARGO) build --locked $(SMALLEST) --profile agent -p enclii-render
	@mkdir -p target/bin
	@for it in enclii switchyard enclii-sample enclii-demo enclii-bench; do \
		cp -u $(OUT)/release/$$it target/bin/; \
	done
	@cp -u $(OUT)/webhook/enclii-webhook $(OUT)/agent/enclii-agent \
		$(OUT)/agent/enclii-login-check $(OUT)/agent/enclii-render target/bin/

.PHONY: demo
demo: ## the whole system on loopback, without root; KEEP=1 keeps it, VAULT=1 shows Vault alone
	@printf 'Building the programs: a few minutes the first time, seconds after that.\n'
	@$(MAKE) programs
	@$(if $(VAULT),$(MAKE) vault-program)
	@$(ENCLII_BIN)/enclii-demo $(if $(KEEP),--keep) $(if $(VAULT),--vault)

# Vault is in no Debian package. ENCLII_VAULT names one that is there.
.PHONY: vault-program
vault-program:
	@if [[ -z $${ENCLII_VAULT:-} && ! -x $$(tests/cluster/build.sh --path vault)/vault ]]; then \
		printf 'Building Vault from its Go module: 12 minutes on two cores, once.\n'; \
		tests/cluster/build.sh vault; \
	fi

.PHONY: test
test: lint test-fast test-fuzz test-api test-oidc test-stores test-cluster ## all tests (root)

.PHONY: test-fast
test-fast: programs ## the tests that need neither root nor a network, and the demo
	$(UNIGNORED) $(CARGO) test --locked --workspace --no-fail-fast
	@$(ENCLII_BIN)/enclii-demo

.PHONY: test-fuzz
test-fuzz: ## what strangers can send, made up by coverage; ENCLII_FUZZ_SECONDS for each parser
	@fuzz/run.sh

.PHONY: test-stores
test-stores: programs ## the tests that need root, or a real database, proxy or Vault (root)
	@$(UNIGNORED) tests/stores/test.sh

.PHONY: test-api
test-api: programs ## the API against its OpenAPI document, with generated requests (root)
	@$(UNIGNORED) tests/api/test.sh

.PHONY: test-oidc
test-oidc: programs ## logins with a certified OpenID provider (root)
	@$(UNIGNORED) tests/oidc/test.sh

.PHONY: test-crash
test-crash: programs ## kill switchyard, PostgreSQL and Vault 300 times each while they work (root)
	@ENCLII_CRASH_KILLS=300 $(UNIGNORED) tests/stores/test.sh

.PHONY: test-cluster
test-cluster: programs ## the tests on a cluster: the one of KUBECONFIG, else a new one
	@$(UNIGNORED) tests/cluster/test.sh

.PHONY: test-matrix
test-matrix: build test-crash ## the long runs, with what ships and on older Kubernetes too (root)
	@ENCLII_FUZZ_SECONDS=300 fuzz/run.sh
	@ENCLII_TORN_READS=10000000 ENCLII_CRASH_LOOPS=3000 $(UNIGNORED) $(CARGO) test --locked \
		--workspace --lib --test system -- readers:: crash_loop::
	@export ENCLII_BIN=$(CURDIR)/target/bin; \
	ENCLII_ADMISSION_CREATES=10000 ENCLII_TURNOVER_SECONDS=600 ENCLII_TURNOVER_CA_SECONDS=8 \
		$(UNIGNORED) tests/cluster/test.sh; \
	for version in $(OLDER_KUBERNETES); do \
		ENCLII_KUBERNETES=$$version $(UNIGNORED) tests/cluster/test.sh; \
	done

.PHONY: cluster
cluster: programs ## a real cluster on this machine with the system installed (root)
	@tests/cluster/build.sh kube coredns
	@tests/cluster/up.sh
	@tests/cluster/install.sh

.PHONY: cluster-down
cluster-down: ## remove every trace of it
	@tests/cluster/down.sh

.PHONY: bench
bench: build ## measure the budgets beside their peers: a table and target/bench.json (root)
	@ENCLII_BIN=$(CURDIR)/target/bin bench/run.sh

.PHONY: lint
lint: ## formatting, clippy, docs, house rules, shell scripts, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --test '*' -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet \
		--document-private-items
	$(CARGO) run --locked --quiet -p enclii-lint
	$(CARGO) test --locked --quiet --workspace --lib every_metric_is_documented
	@tools/check-shell.sh
	@tools/check-dependencies.sh

.PHONY: openapi
openapi: ## write docs/openapi.json again from the handlers' annotations
	ENCLII_RENEW=1 $(CARGO) test --locked -p enclii-switchyard --lib api::openapi

.PHONY: clean
clean: ## remove what was built here; the caches of Kubernetes and Vault outside the tree stay
	$(CARGO) clean
