"""Shared by students and teachers: the manifest, properties of tasks, comparisons, editing of source files."""
