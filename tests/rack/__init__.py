"""A rack: privileged LXC containers that stand for bare-metal hosts."""
