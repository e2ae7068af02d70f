"""The cage of a container, looked at from outside and tried from inside."""

from __future__ import annotations

import shlex
import subprocess

from tests.e2e.harness import Json, Program, Stack, docker_client, free_port, wait_until

_MEMORY = 96 * 2**20


def test_a_container_is_hardened(docker_stack: Stack) -> None:
    seen = ask(
        docker_stack, {"write": ["/app.txt", "/code/app.txt", "/etc/app.txt", "/dev/app.txt", "/tmp/app.txt"]}
    )
    (container,) = docker_stack.containers("probe")
    host = container.attrs["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["ReadonlyRootfs"] is True
    assert host["Init"] is True
    assert 0 < host["PidsLimit"] <= 4096
    assert host["Memory"] == host["MemorySwap"] == _MEMORY
    assert host["NanoCpus"] == 5 * 10**8
    assert not host["Binds"]
    assert not host.get("Mounts")
    assert not host["Devices"]
    assert not host["PortBindings"]
    assert host["PidMode"] == host["UTSMode"] == ""
    assert host["IpcMode"] in ("", "private")
    assert container.attrs["Config"]["User"] not in ("", "0", "root")

    assert seen["uid"] == 65534
    assert seen["status"]["NoNewPrivs"] == "1"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen["status"][name], 16) == 0, name
    assert seen["raw_socket"] == "Operation not permitted"
    written = seen["write"]
    assert written.pop("/tmp/app.txt") == "written", "a function may need some scratch"
    assert set(written.values()) <= {"Read-only file system", "Permission denied"}, written


def test_a_container_is_told_no_secret(docker_stack: Stack) -> None:
    seen = ask(docker_stack, {})
    names = set(seen["environment"])
    assert not {name for name in names if "SECRET" in name or "REDIS" in name or "CALLBACK" in name}
    (container,) = docker_stack.containers("probe")
    text = repr(container.attrs)
    for secret in ("SECRET", "CALLBACKS__SECRET"):
        assert docker_stack.environment[f"PENSTOCK_{secret}"] not in text


def test_a_container_reaches_nobody(docker_stack: Stack) -> None:
    ask(docker_stack, {})
    (probe,) = docker_stack.containers("probe")
    (name,) = probe.attrs["NetworkSettings"]["Networks"]
    network = docker_client().networks.get(name)
    assert network.attrs["Internal"] is True
    assert network.attrs["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    (gateway,) = [one["Gateway"] for one in network.attrs["IPAM"]["Config"]]

    assert ask(docker_stack, {}, function="neighbour")
    (other,) = docker_stack.containers("neighbour")
    neighbour = other.attrs["NetworkSettings"]["Networks"][name]["IPAddress"]
    own = probe.attrs["NetworkSettings"]["Networks"][name]["IPAddress"]
    assert ask(docker_stack, {}, function="probe-open")
    (apart,) = docker_stack.containers("probe-open")
    (elsewhere,) = apart.attrs["NetworkSettings"]["Networks"].values()
    redis_port = free_port()
    redis = tcp_redis(docker_stack, redis_port)
    targets = {
        "itself": ("127.0.0.1", 9000),
        "its own address": (own, 9000),
        "another function": (neighbour, 9000),
        "one on the other network": (elsewhere["IPAddress"], 9000),
        "Redis on the host's loopback, by the bridge": (gateway, redis_port),
        "Redis on its own loopback": ("127.0.0.1", redis_port),
        "the gateway process on the host": (gateway, docker_stack.port),
        "the internet": ("1.1.1.1", 443),
        "a cloud's metadata": ("169.254.169.254", 80),
    }
    tried = ask(docker_stack, {"connect": list(targets.values())})["connect"]
    seen = {who: tried[f"{host}:{port}"] for who, (host, port) in targets.items()}
    assert seen.pop("itself") == seen.pop("its own address") == "connected", "the probe can connect"
    assert "connected" not in seen.values(), seen
    assert [one.id for one in docker_stack.containers("neighbour")] == [other.id], "it was there all the time"
    assert [one.id for one in docker_stack.containers("probe-open")] == [apart.id]
    assert redis.process.poll() is None
    redis.stop()


def test_what_a_spec_lifts_is_lifted_and_nothing_else(docker_stack: Stack) -> None:
    seen = ask(docker_stack, {"write": ["/tmp/x"]}, function="probe-open")
    assert (seen["uid"], seen["write"]["/tmp/x"]) == (1000, "written")
    (container,) = docker_stack.containers("probe-open")
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] is False
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    (name,) = container.attrs["NetworkSettings"]["Networks"]
    network = docker_client().networks.get(name).attrs
    assert network["Internal"] is False
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"


def ask(stack: Stack, event: Json, function: str = "probe") -> Json:
    reply = stack.call(function, event)
    assert reply.status_code == 200, reply.text
    seen: Json = reply.json()
    return seen


def tcp_redis(stack: Stack, port: int) -> Program:
    """A Redis that listens on the host's loopback, as one that was installed does."""
    options = f"--port {port} --bind 127.0.0.1 --save '' --dir {stack.folder}"
    command = ("redis-server", *shlex.split(options))
    redis = Program("redis", command, stack.environment, stack.folder / "tcp.log")
    stack.programs.append(redis)

    def answers() -> bool:
        ping = ("redis-cli", "-p", str(port), "ping")
        return subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n"

    wait_until(answers, 5, "Redis answers on TCP")
    return redis
