"""The schemas of the records that runs and the other commands leave."""
