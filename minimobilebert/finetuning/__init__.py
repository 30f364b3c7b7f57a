"""Fine-tuning on GLUE, SQuAD and files of one's own: jobs, settings, search, tables."""
