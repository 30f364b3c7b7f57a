"""The commands by subject; each file ends with a table: name: (what it does, example, arguments, function)."""
