# Every command a person types. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TARGET := wasm32-wasip1
export MESHPACK_BUILD ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo release)

# module name = cargo package, and its size budget in KiB
MODULES := authz_policy:meshpack-authz-policy:300 canary_split:meshpack-canary-split:300 \
           retry_budget:meshpack-retry-budget:300 telemetry:meshpack-telemetry:300 \
           meshpack:meshpack-pack:700
EXAMPLES := empty tag_tenant

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Check the prerequisites, add the wasm target
	@./tools/setup.sh

.PHONY: build
build: setup ## Build dist/*.wasm, dist/*.schema.json and dist/stats-tags.yaml
	@./tools/build.sh $(MODULES)
	@cargo run -q -p meshpack --no-default-features -- tags > dist/stats-tags.yaml.new
	@mv dist/stats-tags.yaml.new dist/stats-tags.yaml

.PHONY: envoy
envoy: setup ## Get the pinned stock Envoy into the cache
	@cargo run -q -p meshpack-harness --bin envoy-bin > /dev/null

comma := ,
# What the end-to-end tests are compiled with: the same for both backends, so that
# nothing is compiled twice where both run (CONTAINERS=1).
FEATURES = $(if $(CONTAINERS),--features meshpack-e2e/container$(comma)meshpack/container)

.PHONY: test
test: build envoy-matrix ## Run every test, the real Envoy included
	cargo test --workspace --no-fail-fast $(FEATURES)
	@./tools/wasm-tests.sh

.PHONY: envoy-matrix
envoy-matrix: setup ## Get every supported version of Envoy into the cache
	@if [ -z "$${ENVOY_BIN:-}" ]; then cargo run -q -p meshpack-harness --bin envoy-bin -- --all > /dev/null; fi

.PHONY: servers-tools
servers-tools: ## Install the real servers that paths are tried on, those that are missing
	@./tests/servers/install.sh

.PHONY: servers
servers: build envoy servers-tools ## Try SERVERS_CASES (20000) disguised paths on every real server (a quarter of an hour)
	SERVERS_CASES=$${SERVERS_CASES:-20000} cargo test -p meshpack-servers --test servers -- --nocapture

.PHONY: demo
demo: build envoy ## Show every filter at work in a stock Envoy (about two minutes)
	@cargo run -q -p meshpack-e2e --bin demo

.PHONY: bench
bench: build envoy ## Measure instructions per request in a stock Envoy (needs valgrind)
	@./tools/build-bench.sh
	@cargo run -q -p meshpack-bench

.PHONY: bench-check
bench-check: build envoy ## Fail if a filter got more expensive than the committed figures
	@cargo run -q -p meshpack-bench -- --check 3

.PHONY: fuzz
fuzz: setup ## Fuzz every target for FUZZ_SECONDS (600)
	@./tools/fuzz.sh

.PHONY: lint
lint: ## Check format and lints, natively and for wasm, and the Prometheus rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	cargo clippy --target wasm32-wasip1 -p meshpack-sdk -p meshpack-authz-policy -p meshpack-canary-split \
	    -p meshpack-retry-budget -p meshpack-telemetry -p meshpack-pack --features \
	    meshpack-authz-policy/module,meshpack-canary-split/module,meshpack-retry-budget/module,meshpack-telemetry/module -- -D warnings
	@./tools/lint-test-files.sh
	@./tools/lint-observability.sh

.PHONY: docs
docs: ## Build the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

.PHONY: envoy-image
envoy-image: envoy ## Make envoyproxy/envoy:v<version> from the cached binary, for engines that cannot pull
	@tests/harness/envoy-image.sh $${ENVOY_VERSION:-1.40.0}

.PHONY: test-containers
test-containers: CONTAINERS := 1
test-containers: build ## Run the end-to-end tests with Envoy as a container
	ENVOY_BACKEND=container cargo test --workspace --no-fail-fast $(FEATURES) --test e2e
	ENVOY_BACKEND=container cargo test --workspace --no-fail-fast $(FEATURES) --test cli verify_backends
