# EVGate: two commands for a newcomer (demo, test), a few for who works on it. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
# What `make demo`, `make crash`, `make walls` and `make figures` pass on, e.g. ARGS="--for 60s".
ARGS ?=
PYTHON_ENV := target/python

.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." is passed on by demo, crash, walls, figures and bench: make demo ARGS="--for 60s"'

.PHONY: demo
demo: ## Build and run the demo: chargers, gateway, orders and bills in one process (ARGS="--for 60s")
	@tests/setup/prerequisites build
	@$(CARGO) build --release --locked -p evgate
	@exec target/release/evgate demo $(ARGS)

.PHONY: test
test: ## Every check and test, with a real Kafka and a real PostgreSQL of its own
	@tests/setup/prerequisites build test
	@echo "== Kafka and PostgreSQL: fetched once, then started and stopped to see that they run"
	@tests/services/with-services kafka postgres -- true
	@echo "== 1/4 format"
	@$(CARGO) fmt --all --check
	@echo "== 2/4 lints"
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@echo "== 3/4 the OCPP client we did not write (Python, in $(PYTHON_ENV))"
	@tests/setup/python-env $(PYTHON_ENV)
	@echo "== 4/4 tests, with Kafka and PostgreSQL on free ports in a temporary folder"
	@$(CARGO) test --locked --workspace --no-run
	@mkdir -p target
	@rc=0; EVGATE_TEST_PYTHON="$(CURDIR)/$(PYTHON_ENV)/bin/python" \
	  tests/services/with-services kafka postgres -- \
	  $(CARGO) test --locked --workspace --no-fail-fast -- --include-ignored 2>&1 | tee target/test.log || rc=$$?; \
	  awk -v rc=$$rc -f tests/setup/sum.awk target/test.log

.PHONY: crash
crash: ## The crash matrix: 200 trials with kills and cuts, none may lose or double money (ARGS="--seed 123 --form cluster")
	@tests/setup/prerequisites build
	@tests/crash $(ARGS)

.PHONY: bench
bench: ## Criterion: YKC decode, OCPP decode, session step, event encode
	@tests/setup/prerequisites build
	@$(CARGO) bench --locked --workspace $(ARGS)

.PHONY: walls
walls: ## The walls of speed: server CPU per message against a bare epoll echo, memory per idle connection
	@tests/setup/prerequisites build
	@$(CARGO) build --release --locked -p evgate
	@exec target/release/evgate load walls $(ARGS)

.PHONY: figures
figures: ## Figures of "nothing is lost": answer time of money, memory while Kafka is away, time to drain (ARGS="--only answers")
	@tests/setup/prerequisites build test
	@$(CARGO) build --release --locked -p evgate
	@exec tests/services/with-services kafka -- tests/figures $(ARGS)
