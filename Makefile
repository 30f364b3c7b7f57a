# Every target calls its `python -m minimobilebert ...` twin; .venv is made on first use.
PYTHON ?= python3
SEED ?= 1
OUT ?= runs/tiny$(if $(filter-out 1,$(SEED)),-seed-$(SEED))
ifeq ($(OS),Windows_NT)
VENV := .venv/Scripts/python
else
VENV := .venv/bin/python
endif
MINI := $(VENV) -m minimobilebert

.DEFAULT_GOAL := help
.PHONY: help setup doctor train-tiny seeds sweep ablate glue squad test gradcheck parity bench models clean clean-cache \
	course student check hint progress mutants course-check gradescope

help:
	@echo "make setup        make .venv (EXTRAS=compare,interop adds more)    python3 -m minimobilebert setup"
	@echo "make doctor       is everything there and working?                 python -m minimobilebert doctor"
	@echo "make train-tiny   the whole paper at classroom size                python -m minimobilebert train-tiny"
	@echo "                  SEED=n  OUT=folder  TEXT=folder  SET='a=1 b=2'"
	@echo "make seeds        the same with five seeds, and their table        python -m minimobilebert seeds"
	@echo "make test         all tests (ARGS='-k attention')                  python -m minimobilebert test"
	@echo "make sweep        both students at several learning rates          python -m minimobilebert sweep"
	@echo "make ablate       the paper's Tables 7, 8, 9 at classroom size     python -m minimobilebert ablate"
	@echo "make glue         fine-tune GLUE's tasks, with three seeds         python -m minimobilebert glue"
	@echo "                  DATA=data/glue  MODEL=folder  ARGS='--tasks rte'"
	@echo "make squad        fine-tune SQuAD v1.1 and v2.0                    python -m minimobilebert squad"
	@echo "make gradcheck    every backward pass against differences          python -m minimobilebert gradcheck"
	@echo "make parity       every layer and gradient against transformers    python -m minimobilebert parity"
	@echo "make bench        speed beside NumPy, PyTorch, ONNX Runtime        python -m minimobilebert bench"
	@echo "                  ARGS='--only inference_mobilebert --threads 1'"
	@echo "make models       sizes of the paper's models (TOKENS=n BATCH=n)   python -m minimobilebert models"
	@echo ""
	@echo "The course (lessons/README.md):"
	@echo "make student      the student edition (LESSONS=1-6 OUT=student)    python -m minimobilebert student"
	@echo "make check        is a task's function right? (T=02.1 SEED=n)      python -m minimobilebert check 02.1"
	@echo "make hint         the next hint of a task (T=02.1)                 python -m minimobilebert hint 02.1"
	@echo "make progress     tasks, points, and what is done                  python -m minimobilebert progress"
	@echo "make course       check the list of lessons (ARGS=--write)         python -m minimobilebert course"
	@echo "make mutants      wrong solutions against properties (T=02)        python -m minimobilebert mutants"
	@echo "make course-check is the course what it promises to be?            python -m minimobilebert course-check"
	@echo "make gradescope   the autograder's zip (OUT=autograder.zip)        python -m minimobilebert gradescope"
	@echo "grade             grade what students handed in                    python -m minimobilebert grade FOLDER --out DIR"
	@echo ""
	@echo "make clean        remove .venv, caches and build files; runs stay"
	@echo "make clean-cache  remove compiled kernels"
	@echo ""
	@echo "With your own texts and folders; each explains itself with --help:"
	@echo "fill-mask         guess the words behind [MASK]                    python -m minimobilebert fill-mask TEXT"
	@echo "embed             texts to vectors, and how alike they are         python -m minimobilebert embed TEXT TEXT ..."
	@echo "nsp               does the second text follow the first?           python -m minimobilebert nsp TEXT TEXT"
	@echo "convert           read or write a Hugging Face folder              python -m minimobilebert convert"
	@echo "finetune          one task, one model: any settings, or a search   python -m minimobilebert finetune"
	@echo "evaluate          score a fine-tuned model on a task's dev rows    python -m minimobilebert evaluate"
	@echo "predict           write its answers for the task's site            python -m minimobilebert predict"
	@echo "answer            find the answer to a question in a passage       python -m minimobilebert answer"
	@echo "baselines         score a GLUE task without a model                python -m minimobilebert baselines --task sst2"
	@echo "squad-score       score answers to SQuAD's questions               python -m minimobilebert squad-score"
	@echo "download          fetch GLUE, SQuAD or Google's MobileBERT         python -m minimobilebert download glue"

setup:
	@$(PYTHON) -m minimobilebert setup --extras "$(EXTRAS)"

doctor: setup
	@$(MINI) doctor

train-tiny: setup
	@$(MINI) train-tiny --seed $(SEED) --out $(OUT) $(if $(TEXT),--text $(TEXT)) $(if $(SET),--set $(SET))

seeds: setup
	@$(MINI) seeds $(if $(SET),--set $(SET))

test: setup
	@$(MINI) test $(ARGS)

sweep: setup
	@$(MINI) sweep --run $(OUT)

ablate: setup
	@$(MINI) ablate $(if $(SET),--set $(SET))

glue: setup
	@$(MINI) glue $(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL)) $(ARGS)

squad: setup
	@$(MINI) squad $(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL)) $(ARGS)

gradcheck: setup
	@$(MINI) gradcheck --seed $(SEED)

parity: EXTRAS = compare
parity: setup
	@$(MINI) parity --seed $(SEED)

bench: EXTRAS = compare
bench: setup
	@$(MINI) bench $(ARGS)

models: setup
	@$(MINI) models $(if $(TOKENS),--tokens $(TOKENS)) $(if $(BATCH),--batch $(BATCH))

student: OUT = student
student: setup
	@$(MINI) student $(if $(LESSONS),--lessons $(LESSONS)) --out $(OUT) --seed $(SEED)

check: setup
	@$(MINI) check $(T) $(ARGS) $(if $(filter-out 1,$(SEED)),--seed $(SEED))

hint: setup
	@$(MINI) hint $(T)

progress: setup
	@$(MINI) progress

course: setup
	@$(MINI) course $(ARGS)

mutants: setup
	@$(MINI) mutants $(T)

course-check: setup
	@$(MINI) course-check

gradescope: OUT = autograder.zip
gradescope: setup
	@$(MINI) gradescope --out $(OUT)

clean: clean-cache
	rm -rf .venv .pytest_cache .hypothesis build minimobilebert.egg-info

clean-cache:
	rm -rf minimobilebert/kernels/__pycache__
