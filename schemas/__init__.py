"""The tables, the store on disk, the views over it, and the error tree. Imports nothing of ours."""
