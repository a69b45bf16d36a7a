# Every target sets up what it needs in .venv; nothing else on the machine is touched.
# PYTHON chooses the interpreter (3.10 to 3.13):  make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= quickstart

.DEFAULT_GOAL := help
.PHONY: help dev quickstart test test-all test-next package-test fuzz lint format types docs docs-hard-faces docs-pictures docs-android site clean
.PHONY: bench-harness bench-report bench-train asm-study people-study head-study pose-study bench-peers bench-workers bench-records bench-synthetic reference check-reference parity-arm64 bit-equality litert-faults timed-faces bench-video bench-quantize people-assets people-portraits
.PHONY: golden web android android-test ship-model time-models card-words tflite-runtime

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# Debian's python3 comes without ensurepip, so venv can fail where pip works: virtualenv then makes
# the environment from a folder of its own (pip --target needs no permission from the system).
define new_venv
$(PYTHON) -m venv $(1) 2>/dev/null || { \
  rm -rf $(1) && \
  $(PYTHON) -m pip install --quiet --target build/bootstrap virtualenv && \
  PYTHONPATH=build/bootstrap $(PYTHON) -m virtualenv --quiet $(1); }
endef

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 14) or sys.exit("expected Python 3.10 to 3.13, got %d.%d; choose one with: make PYTHON=python3.12 ..." % v)'
	@$(call new_venv,$(VENV))

$(INSTALLED): pyproject.toml setup.py | $(VENV)/bin/python
	@echo "Installing asmnet-kit and its dependencies into $(VENV) (about 2.5 GB, a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,dev]'
	@touch $@

dev: $(INSTALLED) ## set up .venv with everything for development

quickstart: $(INSTALLED) ## synthetic faces -> training -> int8 -> benchmark -> $(OUT)/report.html
	@$(BIN)/asmnet-kit quickstart --out $(OUT)

test: $(INSTALLED) ## run the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

# Not part of CI: half an hour more on two cores. The tutorial and a project of ``new`` from end to
# end, and trainings of several workers one of which is killed.
test-all: $(INSTALLED) ## run all tests, those of several minutes too
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 -m ""

# Not part of CI: it says what the next releases will break. An environment of its own (about 3 GB).
NEXT := .venv-next
test-next: $(NEXT)/bin/python ## run the tests against tf-nightly and its like: ARGS="tests/quantize -x"
	@$(NEXT)/bin/python tests/next_releases.py $(ARGS)

$(NEXT)/bin/python:
	@$(call new_venv,$(NEXT))

# Not part of the tests: it downloads. ARGS="--train" adds TensorFlow, training and quantizing.
package-test: $(VENV)/bin/python ## sdist -> wheel -> clean environments: ARGS="--train --python 3.12"
	@$(BIN)/python tests/package_check.py $(ARGS)

# A short run is one of the tests. A fault prints the command that repeats it alone.
fuzz: $(INSTALLED) ## damaged inputs at every door: ARGS="--seed 7 --count 100000 --door tflite --jobs 2"
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

lint: $(INSTALLED) ## ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED) ## ruff: fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# mypy cannot follow the editable install's mapping of folders to one package; links show it the tree.
types: $(INSTALLED) ## mypy, strict
	@rm -rf build/namespace && mkdir -p build/namespace/asmnet_kit
	@ln -s $(CURDIR)/toolkit/* $(CURDIR)/training $(CURDIR)/quantize $(CURDIR)/benchmarks build/namespace/asmnet_kit/
	@MYPYPATH=build/namespace $(BIN)/mypy -p asmnet_kit

docs: $(INSTALLED) ## write the generated pages of docs/, the list of rooms and README's models
	@$(BIN)/python docs/commands.py
	@$(BIN)/python docs/robustness.py
	@$(BIN)/python docs/trust.py
	@PYTHONPATH=tests $(BIN)/python docs/architecture.py
	@$(BIN)/python docs/readme.py
	@$(BIN)/python docs/zoo.py
	@$(BIN)/python docs/contents.py

# Sphinx in an environment of its own; after that nothing is fetched. The Markdown needs no build.
SITE := .venv-site
site: $(SITE)/.installed ## build the site of the documents: build/site/index.html
	@$(SITE)/bin/python docs/build_site.py

$(SITE)/.installed: docs/site/requirements.txt
	@$(call new_venv,$(SITE))
	@$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check -r docs/site/requirements.txt
	@touch $@

docs-hard-faces: $(INSTALLED) ## draw docs/uncertainty_hard_faces.jpg: twelve hard people before and after
	@$(BIN)/python docs/hard_faces.py

docs-pictures: $(INSTALLED) ## draw docs/people.jpg, people_own.jpg, film.webp and the zoo: rendered people
	@$(BIN)/python docs/pictures.py
	@$(BIN)/python docs/zoo.py --pictures

docs-android: $(INSTALLED) ## take docs/android-*.jpg from what make android-test drew
	@$(BIN)/python docs/android_pictures.py

# tflite-runtime wants NumPy 1 and Python up to 3.11: an environment of its own, for parity and Coral.
TFLITE_RUNTIME := .venv-tflite-runtime
tflite-runtime: $(TFLITE_RUNTIME)/bin/python ## set up tflite-runtime 2.14 beside .venv (Python 3.10, 3.11)

$(TFLITE_RUNTIME)/bin/python:
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] < (3, 12) or sys.exit("expected Python 3.10 or 3.11; choose one with: make PYTHON=python3.11 ...")'
	@$(call new_venv,$(TFLITE_RUNTIME))
	@$@ -m pip install --quiet --disable-pip-version-check 'tflite-runtime==2.14.0' 'numpy<2'

# The table of docs/quantization.md, of one or several runs; what is missing of their models is made.
QUANTIZED := build/quantize
RECIPES := fp32 fp16 dynamic_w8 ptq_w8a8 ptq_w8a16 qat_w8a8
bench-quantize: $(INSTALLED) ## recipes side by side into docs/quantization.md: RUN="A B" DATA=... FORMAT=...
	@test -n "$(RUN)" -a -n "$(DATA)" -a -n "$(FORMAT)" || { echo "expected: make bench-quantize RUN=runs/first DATA=DIR FORMAT=300w" >&2; exit 2; }
	@for run in $(RUN); do for recipe in $(RECIPES); do \
	  out=$(QUANTIZED)/$$(basename $$run); \
	  ls $$out/*_$$recipe.tflite >/dev/null 2>&1 || \
	  $(BIN)/asmnet-kit quantize $$run --data $(DATA) --format $(FORMAT) --recipe $$recipe --out $$out || exit 1; \
	done; done
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.recipe_table $(addprefix $(QUANTIZED)/,$(notdir $(RUN))) --data $(DATA) --format $(FORMAT) $(ARGS)

bench-harness: $(INSTALLED) ## the benchmark against Google's litert-benchmark on the same file
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.harness $(MODEL) $(ARGS)

bench-report: $(INSTALLED) ## wall and CPU seconds of a report of 1,000 results
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.report_speed benchmarks/reference $(ARGS)

# A quiet machine, please. MODELS="a.tflite b.tflite" measures others, REFERENCE=DIR writes elsewhere,
# ARGS="--target gpu" measures the GPU.
MODELS ?= $(wildcard toolkit/models/*.tflite)
REFERENCE ?= benchmarks/reference
reference: $(INSTALLED) ## measure the kit's models on this machine into benchmarks/reference
	@test -n "$(MODELS)" || { echo 'no model ships with the kit yet: make reference MODELS="a.tflite b.tflite"'; exit 2; }
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.measure_reference $(MODELS) --out $(REFERENCE) $(ARGS)

# Vela and TFLM are extras: pip install '.[ethosu,tflm]' into an environment, or PYTHONPATH.
check-reference: $(INSTALLED) ## what Vela and TensorFlow Lite Micro say of the kit's models into benchmarks/reference/checks
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.check_reference $(MODELS) $(ARGS)

# Correctness alone: emulated times are no device's, and none is told.
parity-arm64: $(INSTALLED) ## the models' raw outputs on emulated arm64 against this machine's, bit by bit (Debian 12)
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.arm64_parity $(MODELS) $(ARGS)

bit-equality: $(INSTALLED) ## the models' bits on x86-64, arm64, WebAssembly and the JVM into docs/share.md (an hour)
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.bit_equality $(MODELS) $(ARGS)

litert-faults: $(INSTALLED) ## which faults of docs/trust.md litert-benchmark notices
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.litert_faults $(ARGS)

timed-faces: $(INSTALLED) ## draw the faces that benchmark feeds to landmark models: ARGS=OUT.npz
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.timed_faces $(ARGS)

bench-train: $(INSTALLED) ## pictures/s of training against plain model.fit, and what waits for data
	@$(BIN)/python -m asmnet_kit.training.studies.training_speed $(ARGS)

asm-study: $(INSTALLED) ## with and without ASM-LOSS, several seeds: ARGS='--data DIR --format F --out DIR'
	@$(BIN)/python -m asmnet_kit.training.studies.asm_study $(ARGS)

people-study: $(INSTALLED) ## which realism of rendered people pays: ARGS='--photos DIR --photos-format F --out DIR'
	@$(BIN)/python -m asmnet_kit.training.studies.people_study $(ARGS)

bench-peers: $(INSTALLED) ## other packages' models beside the kit's: ARGS='--photos DIR --photos-format F --out DIR'
	@$(BIN)/python -m asmnet_kit.training.studies.peers.command $(ARGS)

head-study: $(INSTALLED) ## other heads for asmnet_nano: ARGS='--data DIR --format F --photos DIR --photos-format F --out DIR'
	@$(BIN)/python -m asmnet_kit.training.studies.head_study $(ARGS)

pose-study: $(INSTALLED) ## pose output, solvePnP or a tiny network: ARGS='--model M --people DIR --held-back DIR --out DIR'
	@$(BIN)/python -m asmnet_kit.training.studies.pose_study $(ARGS)

bench-video: $(INSTALLED) ## jitter and lag of landmarks in films, with and without the filter
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.film_jitter $(if $(MODEL),--model $(MODEL)) $(ARGS)

bench-records: $(INSTALLED) ## how a training on millions of prepared faces starts: ARGS="--faces 2000000"
	@$(BIN)/python -m asmnet_kit.training.studies.large_records $(ARGS)

bench-workers: $(INSTALLED) ## faces/s with 1 and 2 processes per command: ARGS="--memory 1000 10000" for memory
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.worker_speed $(ARGS)

bench-synthetic: $(INSTALLED) ## drawn faces per second and core
	@$(BIN)/python -m asmnet_kit.benchmarks.studies.drawing_speed $(ARGS)

# Measure first, with the very file: asmnet-kit evaluate --json and asmnet-kit benchmark. NAME.toml in
# toolkit/models holds the words; EVALUATIONS and BENCHMARKS are the JSON files, SHAPE_MODEL and RUN
# are optional.
ship-model: $(INSTALLED) ## put MODEL into the kit as NAME, with a card; without MODEL: EVALUATIONS anew
	@$(BIN)/python -m asmnet_kit.shipping.ship toolkit/models/$(NAME).toml $(if $(MODEL),--model $(MODEL)) \
	  $(addprefix --evaluation ,$(EVALUATIONS)) $(addprefix --benchmark ,$(BENCHMARKS)) \
	  $(if $(SHAPE_MODEL),--shape-model $(SHAPE_MODEL)) $(if $(RUN),--run $(RUN))

# The README compares models by these times: measure all on one machine that does nothing else.
time-models: $(INSTALLED) ## measure the times in the cards of the kit's models anew, on this machine
	@for words in toolkit/models/*.toml; do name=$$(basename $$words .toml); out=build/times/$$name; rm -rf $$out; \
	  $(BIN)/asmnet-kit benchmark $$name --threads 1 --threads 2 --out $$out && \
	  $(BIN)/python -m asmnet_kit.shipping.ship $$words $$(printf -- '--benchmark %s ' $$out/*.json) || exit 1; done

card-words: $(INSTALLED) ## put the words of toolkit/models/*.toml into the models' cards; figures stay
	@for words in toolkit/models/*.toml; do \
	  $(BIN)/python -m asmnet_kit.shipping.ship $$words --words-only || exit 1; done

# OpenEXR reads the panoramas; it goes into a folder of its own and is needed for nothing else.
people-assets: $(INSTALLED) ## pack the CC0 head of rendered people: toolkit/people/head.npz
	@$(BIN)/python -m pip install --quiet --no-deps --target build/people/openexr 'OpenEXR==3.5.3'
	@PYTHONPATH=build/people/openexr $(BIN)/python -m asmnet_kit.training.studies.pack_people $(ARGS)

people-portraits: $(INSTALLED) ## label photographs by a face mesh and turn them: ARGS="--pictures DIR --out OUT"
	@$(BIN)/python -m asmnet_kit.training.studies.portraits.command $(ARGS)

web: $(INSTALLED) ## fetch LiteRT.js, pinned, for asmnet-kit share and --target browser (11.8 MB)
	@$(BIN)/python -m asmnet_kit.benchmarks.browser.litert_js

golden: $(INSTALLED) ## write the golden files that the phone app's tests compare with
	@$(BIN)/python android_demo/tools/golden.py

# The app's tests need a drawn face and a model with known answers. The app bundles the kit's int8
# models under Apache-2.0; MODEL=file.tflite bundles another. RUNTIME=publishable leaves out GPU and
# NNAPI, whose libraries are for 4 KiB pages.
ANDROID_TOOLS := android_demo/tools
ANDROID_INPUTS := build/android/models/face.json
ANDROID_SHIPPED := toolkit/models/asmnet_nano_people_68_112_qat_w8a8.tflite
ANDROID_MODEL := $(if $(MODEL),--model $(MODEL))
ANDROID_RUNTIME := $(if $(RUNTIME),--runtime $(RUNTIME))

$(ANDROID_INPUTS): $(ANDROID_TOOLS)/make_test_inputs.py $(ANDROID_TOOLS)/golden.py $(ANDROID_SHIPPED) | $(INSTALLED)
	@$(BIN)/python $(ANDROID_TOOLS)/make_test_inputs.py $(@D) $(ANDROID_SHIPPED)

# Building takes Python's own library alone, and so no environment.
android: ## build the phone app: a signed APK, from Maven Central and Debian alone
	@$(PYTHON) $(ANDROID_TOOLS)/build.py $(ANDROID_MODEL) $(ANDROID_RUNTIME)

android-test: $(ANDROID_INPUTS) ## test the phone app: JUnit, a model on the JVM, Robolectric, APK gates
	@$(BIN)/python $(ANDROID_TOOLS)/build.py $(ANDROID_MODEL) --runtime publishable
	@$(BIN)/python $(ANDROID_TOOLS)/gates.py $(ANDROID_MODEL) --runtime publishable
	@$(BIN)/python $(ANDROID_TOOLS)/build.py $(ANDROID_MODEL)
	@$(BIN)/python $(ANDROID_TOOLS)/check.py $(ANDROID_MODEL)
	@$(BIN)/python -m pytest -q tests/android

clean: ## remove the environment and what was built
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
