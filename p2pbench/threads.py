"""How the threads of PyTorch wait for one another; to be known before torch is imported."""

# By default they spin, for so long that a step takes ten times its time whenever another process wants a core
# (benchmarks/RESULTS.md). The value of GOMP_SPINCOUNT, which is read when torch is imported.
SPINS = "10000"
