"""What each command does, from the opened table to the files it leaves."""
