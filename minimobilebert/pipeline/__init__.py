"""The paper's stages in order: pre-train the teacher, transfer, distil, fine-tune, report."""
