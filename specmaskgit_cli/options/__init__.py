"""What a user asks for: the options of tasks and of output, checked once for every surface."""
