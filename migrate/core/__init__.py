"""What `migrate` knows and decides: pure values and functions, standard library only; never I/O, a clock or the environment."""
