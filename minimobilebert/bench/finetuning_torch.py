"""Fine-tune transformers' model with PyTorch on the same plan, for comparison.

The initial weights, the order of the batches, learning rates, clipping, weight decay and evaluations are the same; only
the random numbers of dropout differ. AdamW is PyTorch's fused version, and attention is transformers' default. The
run's precision is that of both: with bfloat16 PyTorch trains under autocast. Evaluation is in float32, as ours is. Only
the scores and times are stored, so an interrupted run starts again.
"""

import time

import numpy as np

from ..parity.models import build_transformers_model
from ..support.extras import require
from ..support.terminal import progress_bar, say
from .rivals import NAMES, as_tensors, autocast, torch_optimizer


def _arguments(batch, head):
    torch = require("torch", "compare")
    inputs = as_tensors([getattr(batch, name) for name in NAMES])
    if head == "question-answering":
        targets = {"start_positions": batch.starts, "end_positions": batch.ends}
    else:
        targets = {"labels": batch.labels}
    whole = {name: torch.from_numpy(np.asarray(t, t.dtype if t.dtype.kind == "f" else np.int64))
             for name, t in targets.items()}  # fmt: skip
    return inputs | whole


def _logits(model, head):
    torch = require("torch", "compare")

    @torch.inference_mode()
    def logits(batch):
        output = model(**as_tensors([getattr(batch, name) for name in NAMES]))
        if head == "question-answering":
            return torch.stack([output.start_logits, output.end_logits], dim=-1).numpy()
        return output.logits.numpy()

    return logits


def train_torch(plan, folder):
    """Like finetuning.run.train_plan; `plan.params` become the trained parameters. Nothing is written to `folder`."""
    torch, settings, job = require("torch", "compare"), plan.settings, plan.job
    torch.manual_seed(settings.seed)
    model = build_transformers_model(plan.params, plan.config, None, job.head, job.num_labels)
    optimizer = torch_optimizer(model, settings.weight_decay)
    rows, evaluating, start = [], 0.0, time.perf_counter()
    with progress_bar(f"{settings.task} (PyTorch)", plan.total_steps) as bar:
        for step in range(plan.total_steps):
            model.train()
            with autocast(settings.precision):
                loss = model(**_arguments(plan.batches(step), job.head)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            rate = plan.schedule(step)
            if rate > 0.0:  # as in training/adamw.py: with learning rate 0 the moments do not change
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            bar.update(f"loss {float(loss):.3f}")
            if (step + 1) % plan.steps_per_epoch == 0:
                before = time.perf_counter()
                scores = job.evaluate(_logits(model.eval(), job.head))
                spent = time.perf_counter() - before
                evaluating += spent
                epoch, selection = (step + 1) // plan.steps_per_epoch, job.selection(scores)
                rows.append(
                    {"step": step + 1, "selection": selection, "epoch": epoch, "scores": scores, "seconds": spent}
                )
                say(f"{settings.task} (PyTorch): epoch {epoch}: selection {selection:.4f}")
    training = time.perf_counter() - start - evaluating
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    for name, array in plan.params.items():
        array[...] = tensors[name]
    return rows, max(rows, key=lambda row: row["selection"]), training, evaluating
