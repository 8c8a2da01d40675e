"""The command line: arguments in, results to stdout, messages to stderr, an exit status."""
