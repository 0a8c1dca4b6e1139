# Neural: the commands of every day. `make help` lists them.
SHELL := /bin/sh
BUILD := build/release
NINJA := ninja
.DEFAULT_GOAL := help
.PHONY: help deps build demo serve reference check test conformance bench fuzz format lint clean

help: ## what this prints
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

deps: ## install the Debian packages that are missing (SECTIONS="build demo" for some)
	@tools/deps.sh $(SECTIONS)

build: ## build build/release/neural
	@$(MAKE) -s deps SECTIONS="build"
	@[ -f $(BUILD)/build.ninja ] || cmake --preset release >/dev/null
	@$(NINJA) -C $(BUILD) neural

demo: ## the whole journey: train on real images, deploy, ask over HTTP
	@$(MAKE) -s deps SECTIONS="build demo"
	@$(MAKE) -s build
	@python3 tools/demo.py $(BUILD)/neural

serve: build ## start the server on http://127.0.0.1:8000
	@$(BUILD)/neural serve

reference: build ## write the reference pages to build/reference/
	@mkdir -p build/reference
	@$(BUILD)/neural reference > build/reference/all.md
	@sed -n 's/^## //p' build/reference/all.md
	@for page in layers activations losses optimizers schedules metrics messages findings errors commands config; do \
		$(BUILD)/neural reference $$page > build/reference/$$page.md || exit 1; done

test: ## the inner loop: unit, conformance and golden tests of the dev build
	@$(MAKE) -s deps SECTIONS="build check"
	@/usr/bin/python3 tools/check.py test

check: ## build, then every test that one machine can run
	@$(MAKE) -s deps SECTIONS="build demo check"
	@/usr/bin/python3 tools/check.py check

conformance: ## op x backend: what is proven by running, and why the rest is not
	@$(MAKE) -s deps SECTIONS="build check"
	@$(MAKE) -s build
	@cmake --preset dev >/dev/null
	@$(NINJA) -C build/dev conformance_suite
	@NEURAL_BIN=$(BUILD)/neural /usr/bin/python3 tests/conformance/matrix.py

bench: ## measure against PyTorch and nginx, print ratios (BENCH=train for one group)
	@$(MAKE) -s deps
	@$(MAKE) -s build
	@/usr/bin/python3 bench/run.py $(BENCH)

fuzz: ## run each fuzz driver for FUZZ_SECONDS (60) seconds
	@$(MAKE) -s deps SECTIONS="build check"
	@cmake --preset fuzz >/dev/null && ninja --quiet -C build/fuzz fuzzers
	@for f in build/fuzz/fuzz_*; do [ -x $$f ] || continue; name=$${f##*/fuzz_}; seeds=$$(ls -d tests/fuzz/seeds/$$name 2>/dev/null); \
	  mkdir -p build/fuzz/corpus/$$name; echo "$$name"; \
	  $$f -max_total_time=$${FUZZ_SECONDS:-60} -verbosity=0 -artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name $$seeds || exit 1; done

format: ## lay out the C sources
	@$(MAKE) -s deps SECTIONS="check"
	@git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' | xargs clang-format -i

lint: ## folder edges, layout, clang-tidy
	@$(MAKE) -s deps SECTIONS="build check lint"
	@/usr/bin/python3 tools/check.py lint

clean: ## remove what was built
	@rm -rf build
