"""The commands by subject. Each file ends with a table {name: (description, example, arguments, function)}."""
