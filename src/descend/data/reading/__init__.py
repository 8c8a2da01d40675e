"""Tables of every kind, read by DuckDB and never whole."""
