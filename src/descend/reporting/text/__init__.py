"""What the command line prints, built from records."""
