"""Plots as Plotly figures, built from records."""
