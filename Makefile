# `make` lists the targets.

.DEFAULT_GOAL := help

.PHONY: help build test test-campaign test-setup lint deny doc generate snapshots screenshots bench-migrate bench-prune install

help: ## List the targets
	@sed -nE 's/^([a-z%-]+):.* ## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

build: ## Build the binary that is shipped, in target/dist
	cargo build --profile dist --locked

# What is quick comes first: the tests of the program end with what was left out. The pages of the manual run the example.
CARGO_TEST = cargo test --workspace --locked --lib --bins && cargo test --workspace --locked --doc && \
    cargo build --locked --examples && cargo test --locked --test cli

# The tests start a PostgreSQL server of their own, unless TEST_POSTGRESQL_URL names one or
# TARSY_DB_TEST_WITHOUT_POSTGRESQL=1 leaves those tests out.
test: test-setup ## Run all tests, with a real PostgreSQL server
	$(CARGO_TEST)

# For a night. The end of the run gives the command that repeats it.
test-campaign: export TARSY_DB_TEST_CAMPAIGN ?= 10
test-campaign: test-setup ## Run the random campaigns, large and with other seeds each time
	cargo test --locked --test cli -- '[campaign]'

# Started from binaries that are fetched, so what names another server or none does not count. As root it takes the
# system user that the installed PostgreSQL brings.
test-postgresql-%: test-setup ## Run all tests on PostgreSQL 16, 17 or 18
	binaries=$$(tests/cli/support/fetch-postgresql $*) && "$$binaries/postgres" --version && \
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && export TEST_POSTGRESQL_BIN="$$binaries" && \
	    $(CARGO_TEST)

test-setup:
	@if [ -z "$${TEST_POSTGRESQL_URL:-}$${TARSY_DB_TEST_WITHOUT_POSTGRESQL:-}" ] \
	    && ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; \
	  else \
	    echo "the tests need a PostgreSQL server: sudo apt-get install postgresql" >&2; \
	    echo "or TEST_POSTGRESQL_URL=postgresql://user:password@host/postgres make test" >&2; \
	    echo "or TARSY_DB_TEST_WITHOUT_POSTGRESQL=1 make test, which leaves those tests out" >&2; \
	    exit 1; \
	  fi; \
	fi

lint: ## Check formatting and lints
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# The advisories are fetched each time; without a network the rest is checked all the same.
deny: ## Check licences, sources and advisories of the dependencies
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check bans licenses sources
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; else \
	  echo "advisories were not checked: the RustSec database cannot be fetched" >&2; fi

doc: ## Build the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

generate: test-setup ## Write completions, man pages and what the documents show anew
	cargo build --locked --examples
	UPDATE_GENERATED=1 cargo test --locked --test cli documents::

# What no test asserts any more stays away. All of them need a server that the tests start themselves.
snapshots: test-setup ## Write the snapshots of what people see anew
	rm -f tests/cli/seen/snapshots/*
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && \
	    export INSTA_UPDATE=always INSTA_OUTPUT=none && \
	    cargo test --quiet --locked --lib error_snapshots:: && cargo test --quiet --locked --test cli seen::

screenshots: ## Take the pictures of the README anew; look at them before they are committed
	docs/images/screenshots.py

bench-migrate: ## Measure the migration beside pgloader, csv and the floor
	benchsuite/migrate

bench-prune: ## Measure the removal of old history beside a writer and SQL by hand
	benchsuite/prune

install: ## Install the binary that is shipped into cargo's directory
	cargo install --locked --profile dist --path .

include containers.mk
