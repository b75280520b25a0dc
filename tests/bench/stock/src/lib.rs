//! The same work on the stock SDK, in `examples/`: the peers of the benchmark.
