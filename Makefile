# Every command a person types. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TARGET := wasm32-wasip1
export MESHPACK_BUILD ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo release)

# module name = cargo package, and its size budget in KiB
MODULES := authz_policy:meshpack-authz-policy:300 canary_split:meshpack-canary-split:300 \
           retry_budget:meshpack-retry-budget:300 telemetry:meshpack-telemetry:300 \
           meshpack:meshpack-pack:700
PACKAGES := $(foreach module,$(MODULES),$(word 2,$(subst :, ,$(module))))
EXAMPLES := empty tag_tenant

comma := ,
# CONTAINERS=1: Envoy can also run as a container. The same for both backends, so that
# nothing is compiled twice where both run.
FEATURES = $(if $(CONTAINERS),--features meshpack-e2e/container$(comma)meshpack/container)
# BUILT=1: `make compile` ran, so programs are taken as it left them. Building a package
# by itself compiles its dependencies once more, with fewer features.
export BUILT
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# $(call run,package,program,more options of cargo)
run = $(if $(BUILT),$(TARGET_DIR)/debug/$(2),cargo run -q -p $(1) --bin $(2) $(3) --)
# Lints and code in one go: clippy is a compiler, and compiles what it complains of.
CLIPPY_COMPILES = RUSTC_WORKSPACE_WRAPPER="$$(rustc --print sysroot)/bin/clippy-driver" \
    CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Check the prerequisites, add the wasm target
	@./tools/setup.sh

.PHONY: build
build: setup ## Build dist/*.wasm, dist/*.schema.json and dist/stats-tags.yaml
	@./tools/build.sh $(MODULES)
	@$(call run,meshpack,meshpack,--no-default-features) tags > dist/stats-tags.yaml.new
	@mv dist/stats-tags.yaml.new dist/stats-tags.yaml

.PHONY: release
release: build ## Make everything that a release ships into dist/release (ten minutes)
	@./tools/release.sh "$$(./tools/release/command.sh)" dist/release

.PHONY: envoy
envoy: setup ## Get the pinned stock Envoy into the cache
	@$(call run,meshpack-harness,envoy-bin) > /dev/null

.PHONY: quick
quick: envoy ## Check what changed since main: format, lints, unit tests, modules, one test in Envoy
	@./tools/quick.sh

.PHONY: compile
compile: setup ## Compile all programs, tests and benches once, with every lint (what .ci/run starts with)
	$(CLIPPY_COMPILES) cargo build --workspace --all-targets $(FEATURES)

.PHONY: test
test: test-native test-wasm ## Run every test, the real Envoy included

.PHONY: test-native
test-native: build envoy-matrix
	$(if $(BUILT),$(CLIPPY_COMPILES)) cargo test --workspace --no-fail-fast $(FEATURES)

.PHONY: test-wasm
test-wasm: setup ## Run the unit tests of the sdk and the filters on wasm32
	@./tools/wasm-tests.sh

.PHONY: envoy-matrix
envoy-matrix: setup ## Get every supported version of Envoy into the cache
	@if [ -z "$${ENVOY_BIN:-}" ]; then $(call run,meshpack-harness,envoy-bin) --all > /dev/null; fi

.PHONY: servers-tools
servers-tools: ## Install the real servers that paths are tried on, those that are missing
	@./tests/servers/install.sh

.PHONY: servers
servers: build envoy servers-tools ## Try SERVERS_CASES (20000) disguised paths on every real server (a quarter of an hour)
	SERVERS_CASES=$${SERVERS_CASES:-20000} cargo test -p meshpack-servers --test servers -- --nocapture

.PHONY: mesh-tools
mesh-tools: ## Build a Kubernetes API and Istio into the cache (Go; twelve minutes once)
	@./tests/mesh/tools/fill.sh

.PHONY: mesh
mesh: build mesh-tools ## Start a mesh to try things on, until it is interrupted (root)
	@MESHPACK_MESH_TEST=1 cargo test -p meshpack-mesh --test mesh -- --keep

.PHONY: mesh-test
mesh-test: build mesh-tools ## Try every Istio manifest on a real mesh (root; ONLY=name for some)
	@MESHPACK_MESH_TEST=1 $(if $(BUILT),$(CLIPPY_COMPILES) cargo test --workspace $(FEATURES),cargo test -p meshpack-mesh) \
	    --test mesh -- $(ONLY)

.PHONY: demo
demo: build envoy ## Show every filter at work in a stock Envoy (about two minutes)
	@$(call run,meshpack-e2e,demo)

.PHONY: bench
bench: build envoy ## Measure instructions per request in a stock Envoy (needs valgrind)
	@./tools/build-bench.sh
	@$(call run,meshpack-bench,meshpack-bench)

.PHONY: bench-check
bench-check: build envoy ## Fail if a filter got more expensive than the committed figures
	@$(call run,meshpack-bench,meshpack-bench) --check 3

.PHONY: fuzz
fuzz: setup ## Fuzz every target for FUZZ_SECONDS (600)
	@./tools/fuzz.sh

.PHONY: lint
lint: lint-text ## Check format and lints, natively and for wasm, and the Prometheus rules
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	@$(MAKE) --no-print-directory lint-wasm

.PHONY: lint-wasm
lint-wasm: setup ## Check the lints of what becomes wasm
	cargo clippy --target wasm32-wasip1 -p meshpack-sdk $(addprefix -p ,$(PACKAGES)) \
	    --features $(subst $() ,$(comma),$(addsuffix /module,$(filter-out meshpack-pack,$(PACKAGES)))) -- -D warnings

.PHONY: lint-text
lint-text: ## Check format, the lists of tests and the Prometheus rules
	cargo fmt --all --check
	@./tools/lint-test-files.sh
	@./tools/lint-observability.sh

.PHONY: deny
deny: ## Hold the dependencies to deny.toml (builds cargo-deny once, two minutes)
	@./tools/deny.sh

.PHONY: lint-workflows
lint-workflows: ## Check .github/workflows with actionlint (Go builds it once)
	@./tools/lint-workflows.sh

.PHONY: docs
docs: ## Build the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

.PHONY: envoy-image
envoy-image: envoy ## Make envoyproxy/envoy:v<version> from the cached binary, for engines that cannot pull
	@ENVOY_BIN=$$($(call run,meshpack-harness,envoy-bin) --version $${ENVOY_VERSION:-1.40.0}) \
	    tests/harness/envoy-image.sh $${ENVOY_VERSION:-1.40.0}

# A sample: each kind of configuration, listener and file that a container must be given.
# What the filters decide does not depend on how Envoy was started.
CONTAINER_SAMPLE := authz::answers authz::examples canary::examples retry_budget::examples \
    retry_budget::chain pack::denied pack::examples sdk:: telemetry::files telemetry::logs \
    telemetry::shutdown translate::consul

.PHONY: test-containers
test-containers: CONTAINERS := 1
test-containers: build ## Run a sample of the tests with Envoy as a container
	ENVOY_BACKEND=container $(if $(BUILT),$(CLIPPY_COMPILES)) cargo test --workspace --no-fail-fast $(FEATURES) \
	    --test e2e -- $(CONTAINER_SAMPLE)
	ENVOY_BACKEND=container $(if $(BUILT),$(CLIPPY_COMPILES)) cargo test --workspace --no-fail-fast $(FEATURES) \
	    --test harness --test lifetime
	ENVOY_BACKEND=container $(if $(BUILT),$(CLIPPY_COMPILES)) cargo test --workspace --no-fail-fast $(FEATURES) \
	    --test cli -- verify_backends
