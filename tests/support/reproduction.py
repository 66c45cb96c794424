"""A reproduction that runs in a second."""

REPRODUCTION = """
title = "Tiny, run again"
seeds = [0]
kind = "reproduction"

[protocol]
epochs = 4
watch_test = true

[[tasks]]
dataset = "simulated"
network = "mlp"
widths = [8]
norm = "none"

[methods.dense]

[methods.slim]
method = "network_slimming"
ratio = 0.5
scope = "layer"
task = { norm = "batch" }
protocol = { epochs = 8, fine_tune_share = 0.5, fine_tune_decay = 1e-4 }

[methods.cut]
method = "magnitude_filter"
ratio = [0.25, 0.5, 0.75]
task = { widths = [12], features = "single" }
protocol = { batch_size = 32 }

[published.dense]
error = 1.0
weights = 1.0
source = "A paper, table 1"
verified = "read"

[published.slim]
error = 10.0
weights = 0.5
left = "16-4"
source = "Another, as a third quotes it"
verified = "quoted"
control = "dense"
note = "its λ is not published"

[published.cut]
error = 3.0
weights = 0.5
source = "A memory"
verified = "unverified"
"""
