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
    seed
}

# Let etcd hold from the start what an API server first writes into an empty one and what is the same in all clusters of
# a version: roles and their bindings, priorities, flow control. A second goes by before an API server begins with the
# roles, and one more until it has written them: with these there, nobody has to wait for that. All else is taken out,
# such as namespaces, whose ids tell clusters apart.
seed() {
    in_warm '
        exec {never}<> <(:)
        cd "$(mktemp --directory)"
        etcd --name=seed --data-dir=/var/lib/etcd/member --unsafe-no-fsync --log-level=error \
            --heartbeat-interval=10 --election-timeout=100 \
            --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 \
            --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=https://127.0.0.1:2380 \
            --initial-cluster=seed=https://127.0.0.1:2380 &
        etcd=$!
        until (: <>/dev/tcp/127.0.0.1/2379) 2>/dev/null; do
            kill -0 $etcd
            read -r -t 0.02 -u "$never" || true
        done
        openssl ecparam -genkey -name prime256v1 -noout -out key
        kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir=. --bind-address=127.0.0.1 \
            --advertise-address=192.0.2.1 --service-cluster-ip-range=192.0.2.0/24 --authorization-mode=Node,RBAC \
            --service-account-issuer=https://kubernetes.default.svc.cluster.local \
            --service-account-key-file=key --service-account-signing-key-file=key >log 2>&1 &
        api=$!
        is_ready() {
            [[ $(printf "GET /readyz HTTP/1.0\r\n\r\n" | openssl s_client -quiet -connect 127.0.0.1:6443 2>/dev/null) == *ok ]]
        }
        until is_ready; do
            kill -0 $api || { tail -n 3 log >&2; exit 1; }
            read -r -t 0.05 -u "$never" || true
        done
        kill $api
        wait $api || true

        post() { # path and JSON of a call to etcd
            local link
            exec {link}<>/dev/tcp/127.0.0.1/2379
            printf "POST /v3/%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" "$1" "${#2}" "$2" >&"$link"
            answer=$(cat <&"$link")
            exec {link}>&-
            [[ $answer == HTTP/1.?" 200"* ]] || { printf "%s\n" "$answer" >&2; exit 1; }
        }
        coded() { printf %s "$1" | base64 -w 0; }
        from=AA== # the first key of all; as an end, that of all
        for kind in clusterrolebindings clusterroles flowschemas priorityclasses prioritylevelconfigurations rolebindings roles; do
            post kv/deleterange "{\"key\":\"$from\",\"range_end\":\"$(coded "/registry/$kind/")\"}"
            from=$(coded "/registry/${kind}0") # the character after the slash
        done
        post kv/deleterange "{\"key\":\"$from\",\"range_end\":\"AA==\"}"
        # Compacting keeps the marks of what was deleted last: so something else is last.
        post kv/put "{\"key\":\"$(coded seed)\"}"
        [[ $answer =~ \"revision\":\"([0-9]+)\" ]]
        post kv/compaction "{\"revision\":\"${BASH_REMATCH[1]}\",\"physical\":true}"
        post maintenance/defragment "{}"
        post kv/deleterange "{\"key\":\"$(coded seed)\"}"
        kill $etcd
        wait $etcd || true
        rm -rf /var/lib/etcd/member/member/wal/*.tmp "$PWD"
    '
}

forget() { :; }
