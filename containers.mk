# Container targets; the Makefile includes this file. The services are those of compose.yaml.

.PHONY: check-config containers-start containers-deploy containers-deploy-fresh containers-restart-app \
        containers-logs containers-status containers-clean containers-compose containers-build containers-init \
        test-containers

# docker compose, docker-compose or podman-compose: the first whose engine answers. Where podman is used there is often a
# docker client without a daemon. Versions that are too old are skipped: docker-compose 1 has no `ls`, and podman-compose
# before 1.5 fails if a container already runs, or replaces the database with the backend.
# Looked up once, when a container target first needs it, so that no other target waits for an engine.
# `make COMPOSE=...` overrides it.
ifeq ($(origin COMPOSE), undefined)
COMPOSE = $(eval COMPOSE := $(shell \
  if docker compose ls -q >/dev/null 2>&1; then echo docker compose; \
  elif docker-compose ls -q >/dev/null 2>&1; then echo docker-compose; \
  elif printf '%s\n' 1.5 "$$(podman-compose version --short 2>/dev/null)" | sort -VC && podman info >/dev/null 2>&1; \
  then echo podman-compose; \
  fi))$(COMPOSE)
endif

# The same order as compose: environment, .env, default.
TARSY_PASSWORD_FILE ?= $(or \
  $(shell sed -n 's/^TARSY_PASSWORD_FILE=//p' .env 2>/dev/null | tr -d \"\'),$(DEVELOPMENT_PASSWORD_FILE))
DEVELOPMENT_PASSWORD_FILE = deploy/development-password

# Any build of tarsy-db can check a settings file.
TARSY_DB ?= $(firstword $(wildcard target/dist/tarsy-db target/release/tarsy-db target/debug/tarsy-db) $(shell command -v tarsy-db))

containers-compose:
	@[ -n "$(COMPOSE)" ] || { \
	  echo "no working compose was found; install one of" >&2; \
	  echo "  docker with its compose plugin, and start the daemon" >&2; \
	  echo "  podman and podman-compose 1.5 or newer (pip install podman-compose)" >&2; \
	  exit 1; }

check-config: containers-compose ## Check the settings file, the compose file and the password file
	@$(COMPOSE) config -q
	@echo "compose file: valid for $(COMPOSE)"
	@# With HISTORY_ENABLED=false `init` reads all its settings and changes no database.
	@file=$${TARSY_DB_CONFIG:-tarsy-db.toml}; \
	if [ -z "$${TARSY_DB_CONFIG:-}" ] && [ ! -e "$$file" ]; then \
	  echo "settings file: none, which is fine"; \
	elif [ -n "$(TARSY_DB)" ]; then \
	  HISTORY_ENABLED=false $(TARSY_DB) --config "$$file" init >/dev/null && echo "settings file: $$file is valid"; \
	elif python3 -c 'import tomllib' 2>/dev/null; then \
	  python3 -c 'import sys, tomllib; tomllib.load(open(sys.argv[1], "rb"))' "$$file" \
	    && echo "settings file: $$file is TOML; its keys are checked once tarsy-db is built"; \
	else \
	  echo "settings file: $$file was not checked; build tarsy-db first"; \
	fi
	@file='$(TARSY_PASSWORD_FILE)'; \
	[ -s "$$file" ] || { echo "password file: $$file is missing or empty" >&2; exit 1; }; \
	case $$(ls -ldL "$$file") in \
	  ???????r*) echo "password file: $$file" ;; \
	  *) echo "password file: $$file must be readable for all, since the containers run under users of" >&2; \
	     echo "  their own; protect the directory instead: chmod 0444 FILE, chmod 0700 DIRECTORY" >&2; exit 1 ;; \
	esac

# One after the other: podman-compose would build both services at the same time and compile tarsy-db twice.
containers-build: export REVISION ?= $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
containers-build: containers-compose
	VERSION=$(VERSION) $(COMPOSE) build init
	$(COMPOSE) build backend

# In the foreground, so that make stops if init fails: podman-compose would start the backend even then.
containers-init: containers-build
	$(COMPOSE) up -d database
	$(COMPOSE) run --rm -T init

containers-start: containers-init ## Build the images, start the database, prepare it, start the backend
	$(COMPOSE) up -d --no-deps backend

# podman-compose keeps a container whose image has changed; hence --force-recreate.
containers-restart-app: containers-init ## Rebuild tarsy-db and the backend and restart them; the database keeps running
	$(COMPOSE) up -d --no-deps --force-recreate backend

containers-deploy: check-config ## Check the configuration, rebuild the applications, keep the database
	@$(MAKE) --no-print-directory containers-restart-app

# The configuration is checked first, so that a typing error does not delete the database.
containers-deploy-fresh: check-config ## Check the configuration, DELETE the database, start everything again
	@$(MAKE) --no-print-directory containers-clean
	@$(MAKE) --no-print-directory containers-start

# The services are named, because init has no container any more and podman-compose would report that as an error.
containers-logs: containers-compose ## Show the last 50 log lines of each container
	$(COMPOSE) logs --tail=50 database backend

containers-status: containers-compose ## Show the containers, stopped ones too
	$(COMPOSE) ps $(if $(filter podman-compose,$(COMPOSE)),,-a)

# A password file other than the development one may mean data that must not be lost.
containers-clean: containers-compose ## Stop and remove the containers and DELETE the database
	@[ '$(TARSY_PASSWORD_FILE)' = '$(DEVELOPMENT_PASSWORD_FILE)' ] || [ '$(CONFIRM)' = yes ] || { \
	  echo "this deletes a database that is not the development one; add CONFIRM=yes" >&2; exit 1; }
	$(COMPOSE) down --volumes --remove-orphans

# podman with runc and netavark needs no daemon. ARGUMENTS='--only systemd' runs one group; BASE_IMAGES=registry pulls what
# debootstrap makes otherwise.
CONTAINER_PACKAGES = podman runc netavark aardvark-dns iptables debootstrap openssl systemd python3-venv
test-containers: ## Build the image, run it with compose, and check the Kubernetes and systemd files
	@! dpkg-query --show --showformat='$${db:Status-Status}\n' $(CONTAINER_PACKAGES) 2>&1 | grep -qvx installed || { [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CONTAINER_PACKAGES) >/dev/null; } || { \
	  echo "the tests of the containers need root, and: apt-get install $(CONTAINER_PACKAGES)" >&2; exit 1; }
	python3 -m venv target/containers/venv
	target/containers/venv/bin/pip install --quiet --requirement tests/containers/requirements.txt
	target/containers/venv/bin/python tests/containers $(ARGUMENTS)
