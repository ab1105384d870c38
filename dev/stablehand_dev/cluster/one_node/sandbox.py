"""The node's sandbox: namespaces of its own for processes, mounts and network, joined to the machine by one link.

All that the components and the pods do to the system (mounts, interfaces, iptables rules, processes) they do in here,
and it ends with the sandbox's first process, however that ends. That is why nothing of a cluster can stay behind.
"""

import time
from pathlib import Path

from stablehand_dev import commands
from stablehand_dev.cluster.one_node import pid_files
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.cluster.one_node.pid_files import ProcessIdentity
from stablehand_dev.cluster.one_node.spawning import spawn
from stablehand_dev.errors import DevelopmentError

INIT = "init"
_BIRTH_TIMEOUT_S = 10.0

# Run by sh inside the namespaces. $1: the run directory, $2: the state directory, $3: the machine's address.
_FURNISH = """
set -eu
run=$1 state=$2 gateway=$3

# mount -n: it keeps no table of its own, whose directory lies below /run.

# A /run of its own: containerd's shims, runc, CNI and iptables leave sockets, locks and namespaces there.
hold=$run/hold
mkdir -p "$hold"
mount -n -t tmpfs -o mode=755 stablehand "$hold"
case $run in
/run/*)
    mkdir -p "$hold/${run#/run/}"
    mount -n --bind "$run" "$hold/${run#/run/}"
    ;;
esac
mkdir "$hold/state"
mount -n --bind "$state" "$hold/state"
mount -n --move "$hold" /run

# What is written below these stays in here: the kubelet and CNI have paths that no option moves.
for directory in /var/lib /var/log; do
    layer=/run/layers$directory
    mkdir -p "$layer/upper" "$layer/work"
    mount -n -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" stablehand "$directory"
done

# The state directory must be the disk's own even if it lies below one of them: containerd cannot overlay an overlay.
mount -n --move /run/state "$state"
rmdir /run/state
mount --make-rshared /

echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
ip link set node up
ip route add default via "$gateway"
"""


def create(layout: Layout, pause: Path) -> None:
    """Create the namespaces, the link, and all mounts inside.

    Raises:
        DevelopmentError: the kernel or a rule of this machine does not allow it.
    """
    layout.pids.mkdir(parents=True, exist_ok=True)
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.state.mkdir(parents=True, exist_ok=True)
    log = layout.logs / "sandbox.log"
    holder = spawn(
        [
            *("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--mount", "--net"),
            *("--propagation", "private", "--", *init_command(layout, pause)),
        ],
        log,
    )
    init = _wait_for_child(holder, log, init_command(layout, pause))
    pid_files.write(layout.pids / f"{INIT}.json", init)
    _connect(layout, init)
    script = ["sh", "-c", _FURNISH, "sh", str(layout.run), str(layout.state), str(layout.host_address)]
    commands.run(enter(init, script))


def init_command(layout: Layout, pause: Path) -> list[str]:
    """Return the command line of the sandbox's first process; its argument tells whose it is."""
    return [str(pause), mark(layout)]


def mark(layout: Layout) -> str:
    """Return the argument by which the first process is recognised even where its pid file is lost."""
    return f"--one-node-cluster={layout.run}"


def enter(init: ProcessIdentity, command: list[str]) -> list[str]:
    """Return a command line that runs a command inside the sandbox."""
    return ["nsenter", "--target", str(init.pid), "--mount", "--net", "--pid", "--", *command]


def find_init(layout: Layout) -> ProcessIdentity | None:
    """Return the sandbox's first process if it runs, by its pid file or else by its command line."""
    noted = pid_files.read(layout.pids / f"{INIT}.json")
    if noted is not None and noted.alive():
        return noted
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _command_line(int(entry.name))[1:] == [mark(layout)]:
            return ProcessIdentity.of(int(entry.name))
    return None


def _wait_for_child(holder: int, log: Path, command: list[str]) -> ProcessIdentity:
    deadline = time.monotonic() + _BIRTH_TIMEOUT_S
    while time.monotonic() < deadline:
        if ProcessIdentity.of(holder) is None:
            break
        # The child is unshare's own copy at first; only with its final command line is it in place, /proc mounted.
        for child in pid_files.children(holder):
            identity = ProcessIdentity.of(child)
            if identity is not None and _command_line(child) == command:
                return identity
        time.sleep(0.02)
    unfinished = ProcessIdentity.of(holder)
    if unfinished is not None:
        unfinished.kill()
    raise DevelopmentError(f"Namespaces for the node could not be created:\n{commands.tail(log)}")


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _connect(layout: Layout, init: ProcessIdentity) -> None:
    """Make the link and the routes over which the machine reaches the node, the pods and the Services."""
    length = layout.link.prefixlen
    commands.run(["ip", "link", "add", layout.name, "type", "veth", "peer", "name", "node", "netns", str(init.pid)])
    commands.run(["ip", "address", "add", f"{layout.host_address}/{length}", "dev", layout.name])
    commands.run(["ip", "link", "set", layout.name, "up"])
    commands.run(enter(init, ["ip", "address", "add", f"{layout.node_address}/{length}", "dev", "node"]))
    for network in (layout.pods, layout.services):
        commands.run(["ip", "route", "add", str(network), "via", str(layout.node_address), "dev", layout.name])
