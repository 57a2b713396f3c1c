"""The retryable steps that workflows are made of, written against the Protocols in `ports`."""
