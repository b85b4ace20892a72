"""The suite: ``pytest benchmarks/ --generator ckpt.pt`` puts metrics and generators on trial."""
