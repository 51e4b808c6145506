"""The distribution and image specifications as pure values and functions: no I/O of any kind."""
