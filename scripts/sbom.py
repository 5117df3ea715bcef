"""Print the bill of materials of `requirements/run.txt`, as CycloneDX 1.6 in JSON: `make sbom`.

Each package has its version, its purl and the SHA-256 of every file that pip may install for it: a
wheel for each platform, and the source. The same lock gives the same output, byte for byte.
"""

# ruff: noqa: INP001 - a script
# ruff: noqa: T201 - its answer is what it prints

import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from bot import __version__

ROOT = Path(__file__).parents[1]
NAME = "pg-sessions-bot"


@dataclass(frozen=True, slots=True)
class Locked:
    """One entry of the lock; `via` are the packages that need it."""

    requirement: Requirement
    sha256: tuple[str, ...]
    via: tuple[str, ...]

    @property
    def version(self) -> str:
        """The one version that the lock allows."""
        (pinned,) = self.requirement.specifier
        return pinned.version


def locked(text: str) -> Iterator[Locked]:
    """The entries of a lock file as uv writes it."""
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        pinned, _, via = entry.partition("# via")
        yield Locked(
            Requirement(pinned.partition("\\")[0]),
            tuple(re.findall(r"--hash=sha256:(\w+)", pinned)),
            tuple(re.findall(r"^(?: +#)? +([\w.-]+)", via, re.MULTILINE)),
        )


def bill(text: str) -> Bom:
    """What a lock file names, and what needs what."""
    bot = Component(
        type=ComponentType.APPLICATION,
        name=NAME,
        version=__version__,
        bom_ref=NAME,
        purl=PackageURL("pypi", name=NAME, version=__version__),
        licenses=[DisjunctiveLicense(id="MIT")],
    )
    entries = list(locked(text))
    components = {NAME: bot} | {
        entry.requirement.name: Component(
            name=entry.requirement.name,
            version=entry.version,
            bom_ref=entry.requirement.name,
            purl=PackageURL("pypi", name=entry.requirement.name, version=entry.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in entry.sha256],
        )
        for entry in entries
    }
    bom = Bom(components=[each for each in components.values() if each is not bot])
    bom.metadata.component = bot
    for entry in entries:
        for needing in entry.via:
            bom.register_dependency(components[needing], [components[entry.requirement.name]])
    return bom


def printed(text: str) -> str:
    """A lock file's bill of materials, with nothing of the time or the machine in it."""
    document = json.loads(JsonV1Dot6(bill(text)).output_as_string())
    del document["metadata"]["timestamp"]
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, __version__ + text)}"
    return json.dumps(document, indent=2)


if __name__ == "__main__":
    print(printed(Path(sys.argv[1]).read_text(encoding="utf-8")))
