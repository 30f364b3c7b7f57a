"""Every job of fine-tuning is a `Job`: by its members, by how they are called, and by what the loop makes use of."""

import ast
import inspect
import typing

import numpy as np
import pytest
from documents import ROOT
from fine_tuning_data import write_glue, write_model, write_squad

from minimobilebert.finetuning.jobs import Job, Rows, TaskFiles, make_job
from minimobilebert.finetuning.run import first_parameters
from minimobilebert.finetuning.settings import usual_settings
from minimobilebert.model.parts import WHOLE
from minimobilebert.training.model_folder import load_model

TASKS = ("sst2", "stsb", "rte", "squad1", "squad2", "table")
USERS = ("finetuning/run.py", "finetuning/jobs.py", "pipeline/needs.py", "bench/finetuning_torch.py")


def members(protocol):
    """Names of a protocol's fields, properties and functions, apart -> fields {name: type}, properties, functions"""
    functions = {name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}
    properties = {name for name, value in vars(protocol).items() if isinstance(value, property)}
    return typing.get_type_hints(protocol), properties, functions


def differences(found, protocol):
    """How an object differs from a protocol -> list of str

    Arguments have the same names in the same order; what a function takes besides has a default.
    """
    fields, properties, functions = members(protocol)
    wrong = [f"{name}: missing" for name in [*fields, *properties, *functions] if not hasattr(found, name)]
    for name in functions & set(dir(found)):
        expected = list(inspect.signature(getattr(protocol, name)).parameters.values())[1:]  # without self
        parameters = list(inspect.signature(getattr(found, name)).parameters.values())
        same = [(p.name, p.kind) for p in parameters[: len(expected)]] == [(p.name, p.kind) for p in expected]
        if not same or any(p.default is p.empty for p in parameters[len(expected) :]):
            wrong.append(f"{name}: found {inspect.signature(getattr(found, name))}, expected {expected}")
    for name in set(fields) & set(dir(found)):
        allowed = [typing.get_origin(kind) or kind for kind in typing.get_args(fields[name]) or (fields[name],)]
        if type(getattr(found, name)) not in allowed:
            wrong.append(f"{name}: found {getattr(found, name)!r}, expected {fields[name]}")
    return wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    write_model(folder / "model")
    write_glue(folder / "glue")
    for version in ("1.1", "2.0"):
        write_squad(folder / "squad", version=version)
    rows = "".join(f"{'ada ben'.split()[n % 2]} eats {n} tea,{n % 2}\n" for n in range(40))
    (folder / "table.csv").write_text("text,label\n" + rows, encoding="utf-8")
    return folder


@pytest.fixture(params=TASKS)
def job(request, folder):
    squad = request.param.startswith("squad")
    settings = usual_settings(request.param, 48, **({"max_query": 16, "stride": 8} if squad else {}))
    files = TaskFiles(str(folder / ("squad" if squad else "glue")))
    if request.param == "table":
        files = TaskFiles(str(folder / "table.csv"), text="text", label="label")
    return make_job(settings, files, load_model(folder / "model"))


def test_a_job_has_every_member_and_takes_its_arguments(job):
    assert differences(job, Job) == []
    assert differences(job.examples, Rows) == []


def test_what_a_job_returns_has_the_declared_shapes(job, folder):
    params, config = first_parameters(load_model(folder / "model"), job, seed=1)
    rows = np.arange(3)
    batch = job.examples.batch(rows)
    assert len(job.examples.lengths) > 3 and all(isinstance(array, np.ndarray) for array in job.examples.arrays)
    assert batch.input_ids.shape == batch.token_type_ids.shape == batch.attention_mask.shape
    assert batch.input_ids.shape == (3, job.examples.lengths[rows].max())
    losses, gradients = job.step_function(params, config, batch, np.random.default_rng(1), WHOLE)
    assert np.isfinite(losses["loss"])
    assert {name: g.shape for name, g in gradients.items()} == {name: p.shape for name, p in params.items()}
    logits = job.logits(params, config)
    expected = (*batch.input_ids.shape, 2) if job.num_labels is None else (3, job.num_labels)
    assert logits(batch).shape == expected
    scores = job.evaluate(logits)
    assert list(scores) == ["dev"] and all(np.isfinite(score) for score in scores["dev"].values())
    details = job.details(logits)["dev"]
    assert details["scores"] == scores["dev"] and details["rows"] > 3
    assert {"worst", "confusion" if job.labels else "points" if job.num_labels else "questions"} <= set(details)
    assert isinstance(job.selection(scores), float)
    assert all(path.is_file() for path in job.paths())


def test_the_loop_makes_use_of_declared_members_only():
    fields, properties, functions = members(Job)
    used = set()
    for name in USERS:
        for node in ast.walk(ast.parse((ROOT / "minimobilebert" / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("job", "self.job", "plan.job"):
                used.add(node.attr)
    assert used == {*fields, *properties, *functions}  # and nothing is declared that nobody needs


class Wrong:
    head, num_labels, labels, pairs, examples, dev = "classification", "two", None, True, None, None

    def paths(self, split):
        pass

    def step_function(self, params, config, rng, batch):
        pass

    def logits(self, params, config, engine=None):
        pass

    def evaluate(self, logits):
        pass

    def details(self, logits):
        pass


def test_what_is_no_job_is_told_apart():
    found = {line.partition(":")[0] for line in differences(Wrong(), Job)}
    assert found == {"num_labels", "paths", "step_function", "selection"}
