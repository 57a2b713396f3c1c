"""What a release of Kubernetes consists of, and how each part is built from its Go module.

Under go_modules/<part>/<version> are go.mod and go.sum: every module that the build takes is pinned by its hash. To
make another version buildable, add its directory.
"""

from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "go_modules"
"""Directories of go.mod and go.sum: <part>/<version>."""

KUBERNETES = "kubernetes"
_COMMANDS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a release: the binaries that come from one Go module.

    `packages` are (binary, Go package) pairs; `variables` are set by the linker ("import/path.name=value"), as the
    project's own build does; `cgo` says that the part has C code, so that a C compiler is needed too.
    """

    name: str
    version: str
    packages: tuple[tuple[str, str], ...]
    tags: str = ""
    variables: tuple[str, ...] = ()
    cgo: bool = False

    @property
    def binaries(self) -> frozenset[str]:
        """Names of the part's binaries."""
        return frozenset(binary for binary, _ in self.packages)

    @property
    def module(self) -> Path:
        """The directory of the part's go.mod and go.sum."""
        return MODULES / self.name / self.version


_OTHERS = (
    Part(
        "coredns",
        "1.15.0",
        (("coredns", "github.com/coredns/coredns"),),
        variables=("github.com/coredns/coredns/coremain.GitCommit=v1.15.0",),
    ),
    Part(
        "flannel",
        "0.28.10",
        (("flanneld", "github.com/flannel-io/flannel"),),
        tags="netgo,osusergo",
        variables=("github.com/flannel-io/flannel/pkg/version.Version=v0.28.10",),
        cgo=True,
    ),
    Part(
        "local-path-provisioner",
        "0.0.30",
        (("local-path-provisioner", "github.com/rancher/local-path-provisioner"),),
        variables=("main.VERSION=v0.0.30",),
    ),
    Part(
        "metrics-server",
        "0.9.0",
        (("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),),
        variables=("k8s.io/client-go/pkg/version.gitVersion=v0.9.0",),
    ),
)


def kubernetes_part(version: str) -> Part:
    """Return the part with Kubernetes' own binaries, as its own release is built."""
    major, minor, _ = version.split(".")
    told = (f"gitVersion=v{version}", f"gitMajor={major}", f"gitMinor={minor}", "gitTreeState=clean")
    places = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return Part(
        KUBERNETES,
        version,
        tuple((command, f"k8s.io/kubernetes/cmd/{command}") for command in _COMMANDS),
        tags="selinux,notest,grpcnotrace",
        variables=tuple(f"{place}.{variable}" for place in places for variable in told),
    )


def other_parts() -> tuple[Part, ...]:
    """Return the parts that are not Kubernetes' own: the same for each of its versions."""
    return _OTHERS


def buildable_versions() -> list[str]:
    """Return the versions of Kubernetes whose modules are pinned here, in order."""
    found = [path.parent.name for path in (MODULES / KUBERNETES).glob("*/go.mod")]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))
