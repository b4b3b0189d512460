"""Keys and certificates, made anew for every run with the openssl command line."""

import base64
import subprocess
from pathlib import Path

# The coordinates of a curve's points, in bytes (RFC 7518 section 6.2.1.2).
COORDINATE = {"P-256": 32, "P-521": 66}
CURVES = {"ES256": "P-256", "ES512": "P-521"}


def openssl(*arguments, stdin=None):
    """What `openssl` prints; raises with its complaint when it fails."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode().strip()}")
    return done.stdout


def write_secret(path, content):
    """Replaces the file in one step, as a careful administrator does: readable by its owner only."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    temporary.rename(path)


class Authority:
    """A certificate authority of its own, and the leaves it signs. The leaves are never CAs."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.certificate = self.directory / "ca.crt"
        self.key = self.directory / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=bearerd test CA", "-keyout", self.key,
                "-out", self.certificate, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def leaf(self, name, subject, usage, names=None):
        """Makes `name.key` and `name.crt`: for `usage` serverAuth or clientAuth."""
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        certificate = self.directory / f"{name}.crt"
        extensions = self.directory / f"{name}.ext"
        lines = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}",
                 "keyUsage=critical,digitalSignature"]
        if names:
            lines.append(f"subjectAltName={names}")
        extensions.write_text("\n".join(lines) + "\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", subject, "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-days", "2", "-sha256", "-extfile", extensions,
                "-out", certificate)
        key.chmod(0o600)
        return certificate, key


class SigningKey:
    """A key that signs client assertions, as PEM and as the public JWK to register."""

    def __init__(self, alg, kid, form):
        """`form` is the PEM's: `pkcs8`, or `traditional` (PKCS#1, SEC1)."""
        self.alg, self.kid = alg, kid
        if alg in CURVES:
            pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                          f"ec_paramgen_curve:{CURVES[alg]}", "-pkeyopt", "ec_param_enc:named_curve")
        else:
            pem = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        self.pem = openssl("pkey", "-traditional", stdin=pem) if form == "traditional" else pem

    def jwk(self):
        """The public half (RFC 7517)."""
        public = openssl("pkey", "-pubout", "-outform", "DER", stdin=self.pem)
        common = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg in CURVES:
            curve = CURVES[self.alg]
            size = COORDINATE[curve]
            # A SubjectPublicKeyInfo ends with the uncompressed point: 04, x, y.
            point = public[-2 * size:]
            return common | {"kty": "EC", "crv": curve, "x": base64url(point[:size]),
                             "y": base64url(point[size:])}
        modulus = openssl("rsa", "-pubin", "-inform", "DER", "-modulus", "-noout", stdin=public)
        digits = modulus.decode().strip().removeprefix("Modulus=")
        return common | {"kty": "RSA", "e": "AQAB", "n": base64url(bytes.fromhex(digits))}


def base64url(content):
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
