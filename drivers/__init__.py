"""The outside world behind the ports: each driver fits one Protocol of `activities.ports`, knowing only the domain."""
