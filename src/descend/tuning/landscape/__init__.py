"""Loss surfaces, and the paths that methods take over them."""
