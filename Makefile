# What people do with this source tree. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# rustup puts cargo there; a shell that was open before does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

INSTALL := scripts/install-dependencies.sh
BROWSER := tests/browser
RELEASE := $(CURDIR)/target/release/attache

.PHONY: help install run test bench quality lint advisories docker screenshot clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is missing, build, and start attache with a kiosk in the room "lobby"
	@$(INSTALL) build run
	@cargo build --release --locked
	@exec $(RELEASE) serve --config scripts/run.toml

test: $(BROWSER)/node_modules/.package-lock.json ## Run every test: Rust, then real browsers
	@$(INSTALL) build run test
	@tests/media.sh
	cargo test --locked --workspace --no-fail-fast
	cargo build --locked
	cd $(BROWSER) && npx playwright test

bench: $(BROWSER)/node_modules/.package-lock.json ## Measure; writes benches/results.json and docs/benchmarks.md
	@$(INSTALL) build run test bench
	@tests/media.sh
	cargo build --release --locked
	cargo build --release --locked --example standins
	ATTACHE_BIN=$(RELEASE) node benches/run.mjs

quality: ## Measure what noise suppression does to speech: PESQ, STOI, DNSMOS over several voices and noises
	@$(INSTALL) build run test bench
	cargo build --release --locked
	ATTACHE_BIN=$(RELEASE) benches/quality/measure.sh

lint: ## Check format, lints, licences, bans and sources
	@$(INSTALL) build
	@cargo clippy --version >/dev/null && cargo fmt --version >/dev/null || { echo "lint needs clippy and rustfmt: rustup component add clippy rustfmt" >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory deny CHECKS="licenses bans sources"

advisories: ## Compare the dependencies with RustSec's list of vulnerabilities (needs GitHub)
	@$(MAKE) --no-print-directory deny CHECKS=advisories

.PHONY: deny
deny:
	@cargo deny --version >/dev/null 2>&1 || { echo "installing cargo-deny, once"; cargo install --locked --quiet --debug cargo-deny@0.20.2; }
	cargo deny --locked check $(CHECKS)

install: ## Install attache as a systemd service (as root)
	@$(INSTALL) build run
	cargo build --release --locked
	@scripts/install-service.sh $(RELEASE)

docker: ## Build the container image
	docker build --tag attache .

screenshot: $(BROWSER)/node_modules/.package-lock.json ## Take the README's picture of a real call
	@$(INSTALL) build run test
	@tests/media.sh
	cargo build --release --locked
	ATTACHE_BIN=$(RELEASE) node scripts/screenshot.mjs

clean: ## Remove what was built
	cargo clean
	rm -rf $(BROWSER)/node_modules $(BROWSER)/media $(BROWSER)/test-results

$(BROWSER)/node_modules/.package-lock.json: $(BROWSER)/package-lock.json
	@$(INSTALL) build run test
	cd $(BROWSER) && npm ci --no-audit --no-fund
	@touch $@
