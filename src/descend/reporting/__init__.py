"""What a person sees: progress, plots and the page. Drawn from records alone."""
