"""The paths of the API: each makes one service call and puts its answer into the wire's words."""
