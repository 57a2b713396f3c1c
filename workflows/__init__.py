"""Every change to a cluster or a host, as a durable workflow: one file each, read from top to bottom."""
