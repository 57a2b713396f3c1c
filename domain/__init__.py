"""What a cluster, a node, a host, an overlay and an operation are. Pure: no I/O and no framework."""
