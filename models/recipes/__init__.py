"""How the embedded models were made: data, labels and training, each run again by one command."""
