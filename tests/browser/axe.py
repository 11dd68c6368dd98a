"""axe-core, Deque's checker of accessibility: one file of one version from npm's registry, kept in .cache/."""

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path

import pytest

VERSION = "4.10.3"
SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"
"""Of axe.min.js."""
CACHED = Path(__file__).resolve().parents[2] / ".cache" / f"axe-core-{VERSION}.min.js"

RUN = """
async (selector) => {
    const found = await axe.run(selector, {resultTypes: ["violations"]});
    return found.violations
        .filter(({impact}) => ["serious", "critical"].includes(impact))
        .map(({id, impact, help, nodes}) => [impact, id, help, ...nodes.slice(0, 3).map((n) => n.html)].join(": "));
}
"""


def source() -> str:
    """The checker's program. It may not be copied into the course; without it and a network the test is skipped."""
    if not CACHED.is_file():
        registry = "https://registry.npmjs.org"
        url = f"{registry}/axe-core/-/axe-core-{VERSION}.tgz"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                packed = answer.read()
        except OSError as error:
            pytest.skip(f"axe-core {VERSION} is not in {CACHED.parent}, and could not be had from {url}: {error}")
        with tarfile.open(fileobj=io.BytesIO(packed)) as package:
            member = package.extractfile("package/axe.min.js")
            assert member is not None
            program = member.read()
        CACHED.parent.mkdir(exist_ok=True)
        CACHED.write_bytes(program)
    program = CACHED.read_bytes()
    assert hashlib.sha256(program).hexdigest() == SHA256, f"{CACHED} is not axe-core {VERSION}: delete it"
    return program.decode()


def faults(page, selector: str) -> list[str]:
    """The serious and critical faults of what ``selector`` names, each in a line."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(source())
    return page.evaluate(RUN, selector)
