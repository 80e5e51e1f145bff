# make page    a page to draw and generate on, with the model that ships
# make demo    the whole workflow on the embedded cohort, ends in results/report.html
# make bundled the model that ships with the package, made again from nothing (configs/bundled.yaml; two hours)
# make test    the tests
# make cover   the same, and which lines they do not reach; fails below 90 %
# make test-cluster  the workflow on a SLURM that is started here; needs root, slurm-wlm and munge (about 4 minutes)
# make test-browser  the page in a real Chromium; needs chromium and chromium-driver (about a minute)
# make page-pictures  the pictures of the page in docs/images, taken anew
# make test-tools  lungmask and TotalSegmentator, run for real in an environment of their own (about 15 minutes)
# make test-triton  the Triton kernels, interpreted on the CPU and compiled for GPUs (downloads Triton, 280 MB)
# make check   format, lint and types
# make check-page  format and types of the page's JavaScript; needs node and npm's registry
# make docs    the documentation as files below site/
# make config  config.yaml and its schema, after a change in medsyn2/config
VENV ?= .venv
PYTHON ?= python3
CORES ?= all
TOOLS ?= .venv-tools
BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 PYTHONWARNDEFAULTENCODING=1 python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
export PATH := $(BIN):$(PATH)

.PHONY: page demo bundled test cover test-slow test-cluster test-browser page-pictures test-tools test-triton check check-page config docs
demo: $(STAMP)
	snakemake --cores $(CORES) all
	@echo "Open results/report.html"

bundled: $(STAMP)
	snakemake --cores $(CORES) --configfile configs/bundled.yaml -- all
	rm -rf medsyn2/weights/bundled/model
	medsyn2 convert half results/train_dit/model --results results --to medsyn2/weights/bundled/model

page: $(STAMP)
	medsyn2 page

test: $(STAMP)
	$(PYTEST)

cover: $(STAMP)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=90

test-slow: $(STAMP)
	python -m pytest -q -m slow

test-cluster: $(STAMP)
	python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[slurm]'
	python -m pytest -q -m cluster -rs tests/cluster --durations=0

test-browser: $(STAMP)
	python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[browser]'
	python -m pytest -q -m browser -rs tests/browser

page-pictures: $(STAMP)
	python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[browser]'
	MEDSYN2_PICTURES=docs/images python -m pytest -q -m browser tests/browser/test_pictures.py

test-tools: $(STAMP) $(TOOLS)/.installed
	MEDSYN2_TOOLS_PYTHON=$(abspath $(TOOLS))/bin/python python -m pytest -q -m tools tests/tools --durations=0

test-triton: $(VENV)/triton
	PYTHONPATH=$(abspath $(VENV))/triton python -m pytest -q tests/unit/nn/transformer/test_depthwise_triton.py

$(VENV)/triton: $(STAMP)
	python -m pip install -q --disable-pip-version-check --no-deps --target $@.partial 'triton>=3.6'
	rm -rf $@ && mv $@.partial $@

$(TOOLS)/.installed: envs/segmenters.txt
	test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q --disable-pip-version-check -r envs/segmenters.txt
	touch $@

check: $(STAMP)
	python -m pip install -q -c constraints.txt -e '.[dev]'
	ruff format --check . && ruff check . && mypy medsyn2 && snakefmt --check . && snakemake --lint

# The versions stand in package.json; npx keeps them in its own cache, so that no node_modules lies in the project.
check-page:
	cd medsyn2/server && npx --yes prettier@$$(node -p 'require("./package.json").devDependencies.prettier') \
	  --config .prettierrc.json --check 'static/*.js' '../ct/*.js' '../../tests/unit/server/static/*.js'
	cd medsyn2/server && npx --yes -p typescript@$$(node -p 'require("./package.json").devDependencies.typescript') tsc -p .

config: $(STAMP)
	medsyn2 config

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# pip, not uv: a lock of uv's names the CUDA build of torch whatever the machine.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "medsyn2 needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
