.DEFAULT_GOAL := help
.PHONY: help demo test nightly check fix resolve newest audit image real-model setup space
python := .venv/bin/python
node := tests/node/node_modules/.bin
scripts := src/streamspace/ui/static tests/js
styles := src/streamspace/ui/static/*.css

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: setup ## install what is missing and start the demo: make demo ARGS="--port 8000"
	@echo 'A model that sees: make demo ARGS="--model models/streamspace-tiny-vision"'
	@echo 'A larger model: make real-model, then make demo ARGS="--model .real/SmolLM2-135M-Instruct"'
	$(python) app.py $(ARGS)

# Of several options of one kind pytest takes the last, so ARGS may have its own -m or -n. A test that hangs fails with the
# stack of each thread; the slowest takes 4 minutes on a slow machine.
without := $(if $(SKIP_BROWSER), and not browser)
test: ## install what is missing and run the tests: make test ARGS="-k frames"
	@scripts/setup tools node $(if $(SKIP_BROWSER),,browser) prometheus
	@$(if $(SKIP_BROWSER),echo "SKIP_BROWSER is set: the browser tests are left out")
	$(python) -m pytest -n 2 --dist loadgroup --timeout 600 -m "not slow$(without)" $(ARGS)

# Only from the command line: some systems have a variable NAME of their own.
name = $(if $(filter command,$(origin NAME)),--name "$(NAME)")
space: ## make or update a Hugging Face Space: make space MODEL_ID=Qwen/Qwen3-0.6B
	@scripts/space $(MODEL_ID) $(name) $(if $(HARDWARE),--hardware "$(HARDWARE)") $(if $(SLEEP),--sleep "$(SLEEP)") \
		$(if $(STORAGE),--storage "$(STORAGE)") $(if $(PRIVATE),--private) $(if $(YES),--yes) \
		$(if $(DRY_RUN),--dry-run) $(ARGS)

nightly: ## the slow and rare tests, which `make test` leaves out
	@scripts/setup tools node $(if $(SKIP_BROWSER),,browser) haproxy
	$(python) -m pytest --timeout 3600 -m "slow$(without)" $(ARGS)

check: ## format, lint, types and import order of Python and JavaScript, CSS, and Dockerfiles
	@scripts/setup tools node
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	$(python) -m pytest --quiet --noconftest tests/test_layers.py
	$(node)/biome check --error-on-warnings --config-path=tests/node $(scripts)
	node tests/node/format_css.mjs $(styles)
	$(node)/tsc --project tests/node
	node --test tests/js
	.venv/bin/hadolint docker/*.Dockerfile

fix: ## format, and mend what the linter can mend
	@scripts/setup tools node
	$(python) -m ruff format .
	$(python) -m ruff check --fix .
	$(node)/biome check --write --config-path=tests/node $(scripts)
	node tests/node/format_css.mjs --write $(styles)

resolve: ## would a Space's builder find versions that fit together?
	scripts/resolve

newest: ## the engine's tests on the newest vLLM: make newest ARGS="-x"
	scripts/newest $(ARGS)

audit: ## is a vulnerability known of anything that is installed?
	scripts/audit

image: ## build the CPU image and have it load its model, with Docker or another engine: DOCKER=podman make image
	scripts/image

real-model: setup ## make a real model of 135 million parameters in .real, from a file on PyPI
	scripts/real-model

setup: ## only the installation
	@scripts/setup
