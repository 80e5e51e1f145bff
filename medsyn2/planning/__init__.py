"""What a configuration costs for its cohort, before anything runs: time, memory and disk of each stage."""
