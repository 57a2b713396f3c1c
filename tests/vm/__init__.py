"""A virtual machine with what the kernels of test machines may lack: AppArmor, cgroup v2, IPVS, ESP."""
