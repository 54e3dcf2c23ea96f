"""What a kubelet asks of a container runtime, asked by tests; and crictl's answers, for the agent.

No Debian suite has crictl. Run as a program this answers as crictl does: the runtime's messages as
JSON, and what the runtime adds to them as ``info``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
from cri_api.v1 import api_pb2 as api
from cri_api.v1.api_pb2_grpc import RuntimeServiceStub
from google.protobuf.json_format import MessageToDict

_LABEL = "io.kubernetes"


class Kubelet:
    """Runs pods without networks of their own in the runtime behind a socket."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}")
        self._runtime: Any = RuntimeServiceStub(self._channel)
        self._pods: list[str] = []

    def pod(self, namespace: str, name: str, logs: str, *, one_pid_namespace: bool = False) -> Any:
        """Start an empty pod; with ``one_pid_namespace`` as shareProcessNamespace asks for."""
        pid = api.NamespaceMode.POD if one_pid_namespace else api.NamespaceMode.CONTAINER
        options = api.NamespaceOption(network=api.NamespaceMode.NODE, pid=pid)
        config = api.PodSandboxConfig(
            metadata=api.PodSandboxMetadata(
                name=name, uid=f"{namespace}-{name}", namespace=namespace
            ),
            log_directory=logs,
            labels={f"{_LABEL}.pod.name": name, f"{_LABEL}.pod.namespace": namespace},
            linux=api.LinuxPodSandboxConfig(
                security_context=api.LinuxSandboxSecurityContext(namespace_options=options)
            ),
        )
        request = api.RunPodSandboxRequest(config=config)
        self._pods.append(self._runtime.RunPodSandbox(request, timeout=60).pod_sandbox_id)
        return config

    def start(self, pod: Any, name: str, image: str, *command: str) -> str:
        """Start a container in the pod that was made last; return its id."""
        labels = {**pod.labels, f"{_LABEL}.container.name": name}
        config = api.ContainerConfig(
            metadata=api.ContainerMetadata(name=name),
            image=api.ImageSpec(image=image),
            command=command,
            labels=labels,
            log_path=f"{name}.log",
            linux=api.LinuxContainerConfig(
                security_context=api.LinuxContainerSecurityContext(
                    namespace_options=pod.linux.security_context.namespace_options
                )
            ),
        )
        request = api.CreateContainerRequest(
            pod_sandbox_id=self._pods[-1], config=config, sandbox_config=pod
        )
        container = str(self._runtime.CreateContainer(request, timeout=60).container_id)
        self._runtime.StartContainer(api.StartContainerRequest(container_id=container), timeout=60)
        return container

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container, as a probe does; return what it prints."""
        request = api.ExecSyncRequest(container_id=container, cmd=command, timeout=30)
        return bytes(self._runtime.ExecSync(request, timeout=60).stdout).decode()

    def close(self) -> None:
        """Remove every pod."""
        for pod in self._pods:
            self._runtime.StopPodSandbox(api.StopPodSandboxRequest(pod_sandbox_id=pod), timeout=60)
            request = api.RemovePodSandboxRequest(pod_sandbox_id=pod)
            self._runtime.RemovePodSandbox(request, timeout=60)
        self._channel.close()


def _crictl(socket: str, command: str, name: str) -> Any:
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        runtime: Any = RuntimeServiceStub(channel)
        if command == "ps":
            return MessageToDict(runtime.ListContainers(api.ListContainersRequest()))
        if command == "inspect":
            request = api.ContainerStatusRequest(container_id=name, verbose=True)
            answer = runtime.ContainerStatus(request)
        else:
            from cri_api.v1.api_pb2_grpc import ImageServiceStub

            images: Any = ImageServiceStub(channel)
            image = api.ImageSpec(image=name)
            answer = images.ImageStatus(api.ImageStatusRequest(image=image, verbose=True))
        return {"info": json.loads(answer.info["info"])}


if __name__ == "__main__":
    print(json.dumps(_crictl(sys.argv[1], sys.argv[2], sys.argv[-1])))
