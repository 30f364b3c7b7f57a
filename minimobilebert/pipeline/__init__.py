"""The stages of the paper in order: pre-train the teacher, transfer, distil, fine-tune, report."""
