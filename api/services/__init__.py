"""What the API does, without HTTP: one call each. Store calls block, so they run in threads."""
