# Quotas of btrfs, switched by system call: older btrfs-progs don't know the simple ones, which Linux 6.7 brought.
# A simple quota (squota) counts an extent once, for the subvolume that wrote it: what a node shares with its image is
# not the node's, deleting is cheap, and a subvolume made inside a node is a member of the node's group. Full ones walk
# back references at each commit, so they are for kernels that have nothing else.
#
# BTRFS_IOC_QUOTA_CTL (linux/btrfs.h) takes a command, 1 for full, 4 for simple, and a status. Its number is that of
# all architectures but alpha, mips, powerpc and sparc.
switch_quota() { # path, simple or full
    perl -e '
        my ($path, $kind) = @ARGV;
        open(my $directory, "<", $path) or die "$path: $!\n";
        my $switch = pack("QQ", $kind eq "simple" ? 4 : 1, 0);
        ioctl($directory, 0xC0109428, $switch) or die "$kind quota: $!\n";
    ' "$1" "$2"
}
