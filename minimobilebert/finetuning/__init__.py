"""Fine-tuning on GLUE, SQuAD and your own files: jobs, settings, search, tables."""
