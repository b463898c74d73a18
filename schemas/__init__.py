"""Tables, errors, settings and flags. Imports nothing of ours."""
