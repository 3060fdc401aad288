# Packages; the Makefile includes this file. docs/releasing.md says what is in them and how a release is made.

.PHONY: tarball wheel deb crates sbom licenses packages dist test-crates test-packages

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p;/^version/q' Cargo.toml)
# The dates in the tarball, the Debian package and the list of crates are those of the commit. It is not exported to cargo
# build, nor to maturin and cargo package, which call it, because C libraries are compiled again where it differs.
DATED = SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)}

# Programs that make packages. They are installed below target, so that those of the machine are not touched. This file has
# their versions; cargo replaces another version and leaves the same one.
TOOLS = target/packages
CARGO_DEB_VERSION = 3.8.0
CARGO_CYCLONEDX_VERSION = 0.5.9
CARGO_ABOUT_VERSION = 0.9.3
$(TOOLS)/bin/maturin: packaging/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; } || { \
	  echo "the wheel needs python3 and its module venv: sudo apt-get install python3-venv" >&2; exit 1; }
	python3 -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet --requirement packaging/requirements.txt
	@touch $@

$(TOOLS)/bin/cargo-deb: packages.mk
	cargo install --quiet --locked --root $(TOOLS) cargo-deb@$(CARGO_DEB_VERSION)
	@touch $@

$(TOOLS)/bin/cargo-cyclonedx: packages.mk
	cargo install --quiet --locked --root $(TOOLS) cargo-cyclonedx@$(CARGO_CYCLONEDX_VERSION)
	@touch $@

$(TOOLS)/bin/cargo-about: packages.mk
	cargo install --quiet --locked --features cli --root $(TOOLS) cargo-about@$(CARGO_ABOUT_VERSION)
	@touch $@

# Each package has these notices, because the licences of the crates ask for it. cargo-about reads the sources of all
# platforms, and does not ask the database of licences in the network, which would make two runs differ.
LICENSES = $(TOOLS)/THIRD-PARTY-LICENSES
$(LICENSES): Cargo.lock packaging/licenses.toml packaging/licenses.hbs $(TOOLS)/bin/cargo-about
	cargo fetch --locked --quiet
	$(TOOLS)/bin/cargo-about generate --offline --locked --fail --target $(STATIC_TARGET) \
	    --config packaging/licenses.toml --output-file $@ packaging/licenses.hbs

licenses: $(LICENSES) ## Collect the licences of the crates in the binary

tarball: static $(LICENSES) ## Put the static binary, man pages and completions in dist/
	$(DATED) packaging/tarball $(VERSION) $(STATIC_TARGET)

# maturin calls cargo with the same flags as `static` did, so that nothing is compiled a second time.
wheel: static $(LICENSES) $(TOOLS)/bin/maturin ## Put a Python wheel with the static binary in dist/
	RUSTFLAGS="$(STATIC_RUSTFLAGS)" $(TOOLS)/bin/maturin build --quiet --target $(STATIC_TARGET) \
	    --compatibility manylinux2014 --out dist

# dpkg-dev has dpkg-shlibdeps, which finds the packages that the binary depends on.
deb: build $(LICENSES) $(TOOLS)/bin/cargo-deb ## Put a Debian package in dist/
	@command -v dpkg-shlibdeps >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dpkg-dev >/dev/null; } || { \
	  echo "the Debian package needs dpkg-shlibdeps: sudo apt-get install dpkg-dev" >&2; exit 1; }
	packaging/debian/units $(TOOLS)/units
	mkdir -p dist && $(DATED) PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo deb --quiet --locked --no-build --profile dist --output dist/

# cargo compiles each package as it will be published: tarsy-db from the packed tarsy-db-migration, not from its directory.
# In a target directory of its own, because it takes the package for this checkout: its program would stay in the place of
# the one that the tests run.
crates: ## Put the crates in dist/, each compiled as it will be published
	cargo package --workspace --locked --allow-dirty --quiet --target-dir $(TOOLS)/crates
	mkdir -p dist && cp $(TOOLS)/crates/package/tarsy-db-$(VERSION).crate \
	    $(TOOLS)/crates/package/tarsy-db-migration-$(VERSION).crate dist/

sbom: $(TOOLS)/bin/cargo-cyclonedx ## Put the list of what the binary was built from (CycloneDX) in dist/
	$(DATED) packaging/sbom $(TOOLS)/bin/cargo-cyclonedx $(VERSION) $(STATIC_TARGET)

packages: tarball wheel deb crates sbom

dist: ## Make all files of a release in dist/, from a clean checkout
	@changed=$$(git status --porcelain) && [ -z "$$changed" ] || { \
	  echo "a release is made of a commit: commit these changes, or stash them" >&2; git status --short >&2; exit 1; }
	rm -rf dist
	$(MAKE) packages
	cd dist && sha256sum -- * > SHA256SUMS && cat SHA256SUMS

test-crates: ## Install from the source, and compile the crates as they will be published
	cargo install --path . --locked --debug --root target/packages/install
	packaging/test installed
	$(MAKE) crates

# dist/ is removed, because the sums and files of an earlier `make dist` are not those of these packages.
test-packages: ## Install and try the wheel, the Debian package, the tarball and the crates
	rm -rf dist
	$(MAKE) packages
	packaging/test
