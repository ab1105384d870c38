"""What the kernel reports about processes, control groups and sockets."""
