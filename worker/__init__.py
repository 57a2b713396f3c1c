"""The service: settings, wiring, the Temporal worker, schedules, and the embedded all-in-one."""
