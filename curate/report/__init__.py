"""What a person sees of a dataset: the report, the funnel, the terminal."""
