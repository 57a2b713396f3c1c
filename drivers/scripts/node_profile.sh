# Nodes' AppArmor profiles; shared by the scripts that make, start and remove nodes. A profile is loaded whenever its
# node starts: those in the kernel are gone after a reboot.
apparmor_switch=/sys/module/apparmor/parameters/enabled apparmor_files=/sys/kernel/security/apparmor
profile_prefix=lxc-carina-

# Load the profile that came with a node, and write the line of its config that names it.
profile_config() { # node's directory, container
    [[ -e $1/apparmor ]] || return 0
    if [[ ! -e $apparmor_switch || $(<"$apparmor_switch") != Y ]]; then
        echo 'lxc.apparmor.profile = unconfined'
    elif [[ ! -e $apparmor_files/.replace ]]; then
        # A host that is a container itself: what confines it confines its nodes.
        echo 'lxc.apparmor.profile = unchanged'
    else
        apparmor_parser --replace --skip-cache "$1/apparmor" >&2 || return 1
        printf 'lxc.apparmor.profile = %s\n' "$profile_prefix$2"
    fi
}

unload_profile() { # container
    [[ -e $apparmor_files/.remove ]] || return 0
    # An error if it is not loaded.
    printf %s "$profile_prefix$1" 2>/dev/null >"$apparmor_files/.remove" || true
}

# Unload the profiles of containers of the same instance as this one that are no more, whoever removed them.
sweep_profiles() { # lxcpath, container
    local name mode gone
    [[ -r $apparmor_files/profiles ]] || return 0
    while read -r name mode; do
        gone=${name#"$profile_prefix"}
        [[ $gone != "$name" && $gone == "${2%%-*}-"* && -n $mode ]] || continue
        [[ -e $1/$gone || -e $1/.gone-$gone || -e $1/.new-$gone ]] || unload_profile "$gone"
    done <"$apparmor_files/profiles"
}
