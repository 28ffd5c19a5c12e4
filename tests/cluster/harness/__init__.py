"""What the tests of the cluster, the soak and the benchmarks stand on: servers, their faults, workers, forged messages."""
