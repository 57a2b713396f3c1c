"""The HTTP API: thin routes, each with one service call that reads the store or starts a workflow."""
