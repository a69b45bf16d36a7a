"""A certificate for one address of this machine, made on the spot and thrown away with the server.

Phones give a page the camera, threads and WebGPU over https alone. Nobody vouches for this
certificate, so the phone asks once; its fingerprint is printed to compare.
"""

import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.base.files import temporary_folder

DAYS = 2
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Certificate:
    """Files in PEM, and the SHA-256 fingerprint as browsers show it."""

    certificate: Path
    key: Path
    fingerprint: str


@contextmanager
def certificate_for(address: str) -> Iterator[Certificate]:
    """A certificate of an IP address, gone after the block; nobody else may read its key.

    Raises:
        MissingDependency: openssl is not installed.
        KitError: it made none.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise MissingDependency("https needs openssl, which is not on the PATH: install openssl")
    with temporary_folder() as folder:
        folder.chmod(0o700)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        words += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", str(DAYS)]
        words += ["-subj", "/CN=asmnet-kit", "-addext", f"subjectAltName=IP:{address}"]
        words += ["-addext", "extendedKeyUsage=serverAuth"]
        words += ["-keyout", str(key), "-out", str(certificate)]
        try:
            done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise KitError(f"openssl made no certificate within {TIMEOUT_S:.0f} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise KitError(f"openssl made no certificate for {address}: {said}")
        yield Certificate(certificate, key, _fingerprint(certificate))


def _fingerprint(certificate: Path) -> str:
    """``AB:CD:...`` of a certificate in PEM."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii"))
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
