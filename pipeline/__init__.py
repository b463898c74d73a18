"""The store on disk, the views over it, and what runs stages: jobs, workers, runners."""
