"""Apicurio Registry, which answers as Confluent's schema registry does, under a path of its own.

It keeps schemas in memory.
"""

from .cache import Command
from .maven import JAVA, unpacked
from .service import Service


class Registry(Service):
    name = "registry"
    ready = r"started in .* Listening on"

    @classmethod
    def install(cls) -> None:
        unpacked("registry")

    @classmethod
    def version(cls) -> str:
        return f"Apicurio Registry {cls._jar().stem.split('-')[-2]}"

    @staticmethod
    def _jar():
        (jar,) = unpacked("registry").glob("apicurio-registry-app-*-runner.jar")
        return jar

    def command(self) -> Command:
        listen = ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}"]
        return [*JAVA, "-Xmx256m", *listen, "-jar", self._jar()]

    def variables(self) -> dict[str, str]:
        return {"WATERSHED_REGISTRY": f"http://{self.address}/apis/ccompat/v7"}
