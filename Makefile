# `make` lists the targets.

.DEFAULT_GOAL := help

.PHONY: help tools build static test test-campaign test-libpq test-patroni test-pgbouncer test-setup lint deny doc generate snapshots screenshots bench bench-migrate bench-prune bench-scale soak demo install

help: ## List the targets
	@sed -nE 's/^([a-z%-]+):.* ## (.*)/\1|\2/p' $(MAKEFILE_LIST) | \
	    while IFS='|' read -r target words; do printf '  %-24s %s\n' "$$target" "$$words"; done

# SQLite, zstd and OpenSSL are compiled in: OpenSSL needs perl.
tools:
	@command -v cargo >/dev/null || { \
	  echo "cargo is missing: sudo apt-get install rustup (Debian 13 or later; elsewhere https://rustup.rs)" >&2; exit 1; }
	@for tool in cc perl; do command -v $$tool >/dev/null || { \
	  echo "$$tool is missing: sudo apt-get install build-essential, or sudo dnf install gcc make perl" >&2; exit 1; }; \
	done

# `tarsy-db --version --verbose` names the commit. It comes from the environment, so that cargo does not look at .git.
build static wheel packages test-packages: export TARSY_DB_COMMIT ?= $(shell git describe --always --abbrev=12 --exclude='*' --dirty 2>/dev/null)

build: tools ## Build the binary that is shipped, in target/dist
	cargo build --profile dist --locked

# Linked with the C library inside, it runs on each Linux, in an image of its own, and in a wheel. cargo applies RUSTFLAGS
# to procedural macros as well, which cannot be static, unless a target is named.
STATIC_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
STATIC_RUSTFLAGS = -C target-feature=+crt-static
static: tools ## Build a binary that needs no libraries, in target/STATIC_TARGET/dist
	RUSTFLAGS="$(STATIC_RUSTFLAGS)" cargo build --profile dist --locked --target $(STATIC_TARGET)
	@echo "target/$(STATIC_TARGET)/dist/tarsy-db"

# The quick tests come first. The tests of the program are last, because they end with a list of what was left out. The
# pages of the manual run the example, so it is built before them.
CARGO_TEST = cargo test --workspace --locked --lib --bins && cargo test --workspace --locked --doc && \
    cargo build --locked --examples && cargo test --locked --test cli

# The tests start a PostgreSQL server of their own, unless TEST_POSTGRESQL_URL names one or
# TARSY_DB_TEST_WITHOUT_POSTGRESQL=1 leaves those tests out.
test: test-setup ## Run all tests, with a real PostgreSQL server
	$(CARGO_TEST)

# The end of the run prints the command that repeats it.
test-campaign: export TARSY_DB_TEST_CAMPAIGN ?= 10
test-campaign: test-setup ## Run the random campaigns, large and with other seeds each time
	cargo test --locked --test cli -- '[campaign]'

# The tests start PgBouncer, and the server behind it, so the variables that name another server, or none, are unset.
test-pgbouncer: test-setup ## Run the commands through a real PgBouncer, in a minute
	@if ! PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null && [ "$$(id -u)" = 0 ] \
	    && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq pgbouncer >/dev/null; \
	fi
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && export TARSY_DB_TEST_PGBOUNCER=1 && \
	    cargo test --locked --test cli -- '[pgbouncer]'

# Two at a time: each has a cluster of its own.
test-patroni: test-setup ## Run the tests of failovers, with clusters of Patroni and etcd on this machine
	@command -v patroni >/dev/null && command -v etcd >/dev/null || { \
	  echo "the tests of failovers need Patroni and etcd: sudo apt-get install patroni etcd-server" >&2; exit 1; }
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && export TARSY_DB_TEST_PATRONI=1 && \
	    cargo test --locked --test cli -- '[patroni]' --test-threads 2

# The tests start the fetched server, so the variables that name another server, or none, are unset. As root the server
# runs as the system user `postgres`, which the installed PostgreSQL has created.
test-postgresql-%: test-setup ## Run all tests on PostgreSQL 16, 17 or 18
	binaries=$$(tests/cli/support/fetch-postgresql $*) && "$$binaries/postgres" --version && \
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && export TEST_POSTGRESQL_BIN="$$binaries" && \
	    $(CARGO_TEST)

# libpq comes with psycopg2, so the machine's Python is not touched. TARSY_DB_BINARY names another program.
test-libpq: test-setup ## Compare connections with those of libpq, in five minutes
	@[ -n "$${TARSY_DB_BINARY:-}" ] || cargo build --locked
	python3 -m venv target/libpq && target/libpq/bin/pip install --quiet --requirement tests/libpq/requirements.txt
	target/libpq/bin/python -m unittest discover --quiet --start-directory tests/libpq
	target/libpq/bin/python tests/libpq $(ARGUMENTS)

test-setup: tools
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

lint: tools ## Check formatting and lints
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# The advisories are fetched each time. Without a network the rest is still checked.
deny: tools ## Check licences, sources and advisories of the dependencies
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check bans licenses sources
	@if timeout 120 cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; else \
	  echo "advisories were not checked: the RustSec database cannot be fetched" >&2; fi

doc: tools ## Build the documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

generate: test-setup ## Rewrite completions, man pages, and outputs and tables in the documents
	cargo build --locked --examples
	UPDATE_GENERATED=1 cargo test --locked --test cli documents::

# All snapshots are deleted first, so that those without a test disappear. Each of them is made with a server that the
# tests start themselves.
snapshots: test-setup ## Rewrite the snapshots of what users see
	rm -f tests/cli/seen/snapshots/*
	unset TEST_POSTGRESQL_URL TARSY_DB_TEST_WITHOUT_POSTGRESQL && \
	    export INSTA_UPDATE=always INSTA_OUTPUT=none && \
	    cargo test --quiet --locked --lib error_snapshots:: && cargo test --quiet --locked --test cli seen::

screenshots: ## Retake the pictures of the README; look at them before you commit them
	docs/images/screenshots.py

# The published ratios are those of larger histories.
bench: tools ## Both comparisons, small, in five minutes, beside the published ratios
	benchsuite/migrate --bytes 200MB --rounds 2 --toast lz4 --only tarsy-db --only pgloader --only floor
	benchsuite/prune idle --bytes 200MB --small-bytes 200MB --rounds 2

bench-migrate: ## Compare the migration with pgloader, csv and the fastest possible copy
	benchsuite/migrate

bench-prune: ## Compare `prune` beside a writer with hand-written SQL
	benchsuite/prune

# It takes hours, most of them for making and copying the histories of a million sessions.
bench-scale: ## Measure how each command grows, up to a million sessions
	benchsuite/scale

soak: tools ## An hour beside a backend that writes: kills, a switchover, and an audit of every row
	benchsuite/soak

demo: tools ## A tour in a temporary directory: a history, an archive, and a migration if PostgreSQL is installed
	cargo build --locked --bin tarsy-db --example generate_history
	TARSY_DB=target/debug/tarsy-db GENERATE_HISTORY=target/debug/examples/generate_history examples/demo.sh

# DESTDIR and PREFIX as in other programs. Each shell finds its completions below PREFIX=/usr or /usr/local; without root
# they go to the home directory, where bash and fish find them.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
SHARE = $(DESTDIR)$(PREFIX)/share
install: build ## Install the binary that is shipped, its completions and its man pages: PREFIX=/usr/local
	install -D -m 755 target/dist/tarsy-db $(DESTDIR)$(PREFIX)/bin/tarsy-db
	install -D -m 644 completions/tarsy-db.bash $(SHARE)/bash-completion/completions/tarsy-db
	install -D -m 644 completions/_tarsy-db $(SHARE)/zsh/site-functions/_tarsy-db
	install -D -m 644 completions/tarsy-db.fish $(SHARE)/fish/vendor_completions.d/tarsy-db.fish
	install -D -m 644 -t $(SHARE)/man/man1 completions/man/*.1

include packages.mk
include containers.mk
