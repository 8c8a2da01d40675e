"""The tests: a file for each module, and contracts run over every member of a family."""
