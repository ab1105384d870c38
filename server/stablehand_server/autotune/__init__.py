"""--autotune: the tuner beside this one server, in a process of its own."""
