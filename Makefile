# Every target calls its `python -m minimobilebert ...` twin; .venv is made on first use.

# BSD make takes this for a directive and stops with its words. GNU make takes it for a rule that nothing asks for.
.error this needs GNU make: install it and call gmake, or call python3 -m minimobilebert without any make

# Only what stands behind `make` counts: somebody's shell may export an OUT or a DATA that means something else. Values
# go to the command letter by letter, in quotes. `$$` is the dollar sign, as always in make; so is a single `$`. `~/` at
# the beginning is the home folder: some shells leave it to the command.
VARIABLES := PYTHON EXTRAS SEED OUT TEXT SET ARGS DATA MODEL TOKENS BATCH LESSONS T
unexport $(VARIABLES)
unknown := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $(v))),$(v)))
unknown := $(filter-out $(VARIABLES) SHELL MAKE%,$(unknown))
ifneq ($(unknown),)
$(error found $(unknown), expected some of $(VARIABLES))
endif
# What a target makes use of, beside PYTHON and EXTRAS. Whatever else is given would be ignored.
takes-train-tiny := SEED OUT TEXT SET ARGS
takes-sweep := SEED OUT
takes-distil := SEED OUT TEXT SET DATA MODEL ARGS
takes-student := SEED OUT LESSONS
takes-check := SEED T ARGS
takes-gradescope := OUT
takes-models := TOKENS BATCH
$(foreach t,site notebooks,$(eval takes-$(t) := OUT ARGS))
$(foreach t,seeds ablate,$(eval takes-$(t) := OUT SET))
$(foreach t,glue squad,$(eval takes-$(t) := DATA MODEL ARGS))
$(foreach t,gradcheck parity,$(eval takes-$(t) := SEED))
$(foreach t,test bench course,$(eval takes-$(t) := ARGS))
$(foreach t,hint mutants watch,$(eval takes-$(t) := T))
taken := PYTHON EXTRAS $(foreach t,$(MAKECMDGOALS),$(takes-$(t)))
ignored := $(foreach v,$(VARIABLES),$(if $(findstring command line,$(origin $(v))),$(filter-out $(taken),$(v))))
ifneq ($(strip $(ignored)),)
$(error found $(strip $(ignored)), which $(or $(MAKECMDGOALS),help) would ignore; expected some of $(taken))
endif
comma := ,
define newline


endef
given = $(if $(findstring command line,$(origin $(1))),$(subst $$$$,$$,$(value $(1))))
$(foreach v,$(VARIABLES),$(if $(findstring $(newline),$(call given,$(v))),$(error $(v): found a line break)))
quoted = '$(subst ','\'',$(1))'
path = $(if $(filter ~/%,$(firstword $(1))),"$$HOME"$(call quoted,$(subst x~/,/,x$(1))),$(call quoted,$(1)))
value_or = $(call path,$(if $(call given,$(1)),$(call given,$(1)),$(2)))
option = $(if $(call given,$(2)),$(1) $(call path,$(call given,$(2))))
# Several words in one value, TEXT="one 'the other'": the command takes them apart (commands/words.py).
several = $(if $(call given,$(2)),$(1) --words=$(call quoted,$(call given,$(2))))

another_seed = $(filter-out 1,$(call given,SEED))
run = $(call value_or,OUT,runs/tiny$(if $(another_seed),-seed-$(another_seed)))
python = $(call value_or,PYTHON,python3)
ifeq ($(OS),Windows_NT)
VENV := .venv/Scripts/python
else
VENV := .venv/bin/python
endif
MINI := $(VENV) -m minimobilebert

.DEFAULT_GOAL := help
.NOTPARALLEL: # every command uses all cores by itself, and `clean` must not meet `test`

# Targets
.PHONY: help setup doctor train-tiny distil seeds sweep ablate glue squad test gradcheck verify parity bench models clean clean-cache \
	lint course student check hint progress mutants course-check gradescope \
	site notebooks

help:
	@echo "make setup        make .venv (EXTRAS=compare,interop adds more)    python3 -m minimobilebert setup"
	@echo "make doctor       check Python, packages, processor and texts      python -m minimobilebert doctor"
	@echo "make train-tiny   the whole paper at classroom size                python -m minimobilebert train-tiny"
	@echo "                  SEED=n  OUT=folder  TEXT=folder  SET='a=1 b=2'"
	@echo "make distil       a small student of a real sentence encoder       python -m minimobilebert distil"
	@echo "                  MODEL=teacher  TEXT=folder  OUT=folder  DATA=data/glue"
	@echo "make seeds        the same with five seeds, and their table        python -m minimobilebert seeds"
	@echo "make test         all tests (ARGS='-k attention')                  python -m minimobilebert test"
	@echo "make lint         style, format and type hints                     python -m minimobilebert lint"
	@echo "make sweep        both students at several learning rates          python -m minimobilebert sweep"
	@echo "make ablate       the paper's Tables 7, 8, 9 at classroom size     python -m minimobilebert ablate"
	@echo "make glue         fine-tune GLUE's tasks, with three seeds         python -m minimobilebert glue"
	@echo "                  DATA=data/glue  MODEL=folder  ARGS='--tasks rte'"
	@echo "make squad        fine-tune SQuAD v1.1 and v2.0                    python -m minimobilebert squad"
	@echo "make gradcheck    every backward pass against differences          python -m minimobilebert gradcheck"
	@echo "make verify       are the results here the expected bits?          python -m minimobilebert verify"
	@echo "make parity       every layer and gradient against transformers    python -m minimobilebert parity"
	@echo "make bench        speed against NumPy, PyTorch, ONNX Runtime       python -m minimobilebert bench"
	@echo "                  ARGS='--only inference_mobilebert --threads 1'"
	@echo "make models       sizes of the paper's models (TOKENS=n BATCH=n)   python -m minimobilebert models"
	@echo ""
	@echo "The course (lessons/README.md):"
	@echo "make student      the student edition (LESSONS=0-6 OUT=student)    python -m minimobilebert student"
	@echo "make check        check a task's function (T=02.1 SEED=n)           python -m minimobilebert check 02.1"
	@echo "make hint         the next hint of a task (T=02.1)                 python -m minimobilebert hint 02.1"
	@echo "make progress     tasks, points, and what is done                  python -m minimobilebert progress"
	@echo "make course       check the list of lessons (ARGS=--write)         python -m minimobilebert course"
	@echo "make mutants      wrong solutions against properties (T=02)        python -m minimobilebert mutants"
	@echo "make course-check check the whole course                           python -m minimobilebert course-check"
	@echo "make gradescope   the autograder's zip (OUT=autograder.zip)        python -m minimobilebert gradescope"
	@echo "grade             grade submissions                                python -m minimobilebert grade FOLDER --out DIR"
	@echo "gradebook         scores in a table of Canvas or Moodle            python -m minimobilebert gradebook DIR TABLE --out FILE"
	@echo "collect           functions of a class, for JPlag or MOSS          python -m minimobilebert collect FOLDER --out DIR"
	@echo "make site         the course and reference as web pages (OUT=site) python -m minimobilebert site"
	@echo "make notebooks    each walkthrough as a notebook (OUT=notebooks)   python -m minimobilebert notebooks"
	@echo ""
	@echo "make clean        remove .venv, caches and build files; runs stay"
	@echo "make clean-cache  remove compiled kernels"
	@echo ""
	@echo "With your own texts and folders; each explains itself with --help:"
	@echo "prepare           texts of any size to word pieces on disk         python -m minimobilebert prepare --text FOLDER --out DIR"
	@echo "fill-mask         predict the words at [MASK]                      python -m minimobilebert fill-mask TEXT"
	@echo "embed             texts to vectors, and how alike they are         python -m minimobilebert embed TEXT TEXT ..."
	@echo "similar           the lines of a file that are nearest to a text   python -m minimobilebert similar TEXT --texts FILE"
	@echo "nsp               predict whether one text follows another         python -m minimobilebert nsp TEXT TEXT"
	@echo "convert           read or write a Hugging Face folder              python -m minimobilebert convert"
	@echo "quantize          a model in 8 bits, up to 4 times smaller         python -m minimobilebert quantize FOLDER --out DIR"
	@echo "export            a model for ONNX Runtime and browsers            python -m minimobilebert export FOLDER --onnx DIR"
	@echo "pareto            sentence encoders side by side                   python -m minimobilebert pareto FOLDER ... --measure WHAT"
	@echo "latency           models side by side on one text                  python -m minimobilebert latency MODEL ..."
	@echo "plan              what training costs on many machines             python -m minimobilebert plan --model M --ranks N --network RATE"
	@echo "finetune          one task, one model: any settings, or a search   python -m minimobilebert finetune"
	@echo "evaluate          score a fine-tuned model on a task's dev rows    python -m minimobilebert evaluate"
	@echo "predict           write its answers for the task's site            python -m minimobilebert predict"
	@echo "answer            find the answer to a question in a passage       python -m minimobilebert answer"
	@echo "baselines         score a GLUE task without a model                python -m minimobilebert baselines --task sst2"
	@echo "squad-score       score answers to SQuAD's questions               python -m minimobilebert squad-score"
	@echo "download          fetch GLUE, SQuAD or Google's MobileBERT         python -m minimobilebert download glue"

# What these compare with, or call.
needed := $(if $(filter parity bench,$(MAKECMDGOALS)),$(comma)compare)$(if $(filter distil,$(MAKECMDGOALS)),$(comma)interop)$(if $(filter lint,$(MAKECMDGOALS)),$(comma)lint)$(if $(filter site notebooks,$(MAKECMDGOALS)),$(comma)docs)
extras = $(call given,EXTRAS)$(needed)

setup:
	@$(python) -m minimobilebert setup --extras $(call quoted,$(extras))

doctor: setup
	@$(MINI) doctor

train-tiny: setup
	@$(MINI) train-tiny --seed $(call value_or,SEED,1) --out $(run) $(call several,--text,TEXT) $(call several,--set,SET) $(call several,,ARGS)

distil: setup
	@$(MINI) distil --seed $(call value_or,SEED,1) --out $(call value_or,OUT,runs/distilled) $(call option,--teacher,MODEL) $(call several,--text,TEXT) $(call several,--set,SET) $(call option,--measure stsb --data,DATA) $(call several,,ARGS)

seeds: setup
	@$(MINI) seeds $(call option,--out,OUT) $(call several,--set,SET)

test: setup
	@$(MINI) test $(call several,,ARGS)

lint: setup
	@$(MINI) lint

sweep: setup
	@$(MINI) sweep --run $(run)

ablate: setup
	@$(MINI) ablate $(call option,--out,OUT) $(call several,--set,SET)

glue: setup
	@$(MINI) glue $(call option,--data,DATA) $(call option,--model,MODEL) $(call several,,ARGS)

squad: setup
	@$(MINI) squad $(call option,--data,DATA) $(call option,--model,MODEL) $(call several,,ARGS)

gradcheck: setup
	@$(MINI) gradcheck --seed $(call value_or,SEED,1)

verify: setup
	@$(MINI) verify

parity: setup
	@$(MINI) parity --seed $(call value_or,SEED,1)

bench: setup
	@$(MINI) bench $(call several,,ARGS)

models: setup
	@$(MINI) models $(call option,--tokens,TOKENS) $(call option,--batch,BATCH)

student: setup
	@$(MINI) student $(call option,--lessons,LESSONS) --out $(call value_or,OUT,student) --seed $(call value_or,SEED,1)

check: setup
	@$(MINI) check $(call several,,T) $(call several,,ARGS) $(if $(another_seed),--seed $(call value_or,SEED))

hint: setup
	@$(MINI) hint $(call option,,T)

progress: setup
	@$(MINI) progress

course: setup
	@$(MINI) course $(call several,,ARGS)

mutants: setup
	@$(MINI) mutants $(call several,,T)

course-check: setup
	@$(MINI) course-check

gradescope: setup
	@$(MINI) gradescope --out $(call value_or,OUT,autograder.zip)

site: setup
	@$(MINI) site --out $(call value_or,OUT,site) $(call several,,ARGS)

notebooks: setup
	@$(MINI) notebooks --out $(call value_or,OUT,notebooks) $(call several,,ARGS)

clean: clean-cache
	rm -rf .venv .pytest_cache .hypothesis build minimobilebert.egg-info

clean-cache:
	rm -rf minimobilebert/kernels/__pycache__
