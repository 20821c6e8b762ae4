"""What `dvc repro` runs: data version, base model, references, events and the page of results."""
