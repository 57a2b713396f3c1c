# What the image of a Kubernetes node adds to the base: a release's programs, and containerd with two images.
furnish() { # rootfs
    [[ -d $release/bin ]] || fail 1 "there is no release in $release"
    cp --reflink=auto --no-preserve=ownership -- "$release"/bin/* "$1/usr/local/bin/"
    chmod 0755 "$1"/usr/local/bin/*
    # Pod networks that people bring put their own plugins into this directory.
    mkdir -p "$1/opt/cni" "$1/etc/cni/net.d" "$1/etc/kubernetes/pki"
    mv -T "$1/usr/lib/cni" "$1/opt/cni/bin"
    ln -s /opt/cni/bin "$1/usr/lib/cni"
}

# Pack images by the layout of `docker save` and give them to containerd: the one that holds a pod's namespaces, which
# is never to be cleared away, and the probe image.
stock() {
    in_warm '
        pack() { # directory, name, config as JSON
            local id
            tar --create --numeric-owner --directory "$1" --file /root/pack/layer.tar .
            id=$(sha256sum /root/pack/layer.tar)
            printf "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}" \
                "$(dpkg --print-architecture)" "$3" "${id%% *}" >/root/pack/config.json
            printf "[{\"Config\":\"config.json\",\"RepoTags\":[\"%s\"],\"Layers\":[\"layer.tar\"]}]" "$2" >/root/pack/manifest.json
            tar --create --directory /root/pack . | ctr --namespace k8s.io images import --local -
        }
        mkdir -p /root/pack /root/pause
        cp /usr/bin/catatonit /root/pause/
        pack /root/pause localhost/pause:1 "{\"Entrypoint\":[\"/catatonit\",\"-P\"]}"
        ctr --namespace k8s.io images label localhost/pause:1 io.cri-containerd.pinned=pinned
        pack /root/probe "docker.io/$1" "{\"Cmd\":[\"sh\"],\"Env\":[\"PATH=/bin\"]}"
        rm -rf /root/pack /root/pause
    ' "$probe"
}

forget() { :; }
