"""From a config to what is trained: network, tasks, noise process, data; and the run that keeps it."""
