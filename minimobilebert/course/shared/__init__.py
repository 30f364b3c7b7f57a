"""What students and teachers use: the manifest, properties of tasks, comparisons, cutting functions out of files."""
