"""The run's clients: as the server has them registered, and as bearerd is told of them."""

import base64

import pki
from daemon import TABLE

USER = "656005750104"
LIFETIME = 20
ELSEWHERE = "https://example.org/"
LOGINS, SERVICES = ("code", "device"), ("jwt", "mtls", "self_signed")
# All that encodings get wrong, of what the server takes: printable ASCII (RFC 6749 appendix A.2).
SECRETS = {"code": "a:b%2B+c&d=/?# \"\\~", "inspector": "inspectors-secret"}

TOKEN = """
[client.{name}]
issuer    = "{issuer}"
client_id = "{name}"
[client.{name}.tls]
ca = "{root}/pki/ca.crt"
{tls}
[client.{name}.auth.{method}]
{auth}
[token.{name}]
client   = "{name}"
scope    = {scope}
required = {required}
[token.{name}.grant.{grant}]
{login}
[[token.{name}.file]]
path      = "{root}/tokens/{name}.{format}"
format    = "{format}"
on_expiry = "remove"
"""
ID_TOKEN = """\
[[token.{name}.file]]
path      = "{root}/tokens/{name}.json"
format    = "json"
on_expiry = "remove"
"""
IDENTITY = """\
certificate = "{root}/pki/{name}.crt"
key = {{ file = "{root}/pki/{name}.key" }}"""
# What is particular to each token's tables; the methods are the names that the server has for them, too.
TABLES = {
    # Without `prompt`, a provider that keeps to OpenID Connect Core section 11 gives no refresh token.
    "code": {"method": "client_secret_basic", "grant": "authorization_code",
             "auth": 'client_secret = {{ file = "{root}/secrets/code" }}',
             "login": f'redirect_uri = "{ELSEWHERE}"\nauthorization_params = {{{{ prompt = "consent" }}}}'},
    "device": {"method": "none", "grant": "device_code"},
    "bound": {"method": "tls_client_auth", "grant": "device_code", "tls": IDENTITY},
    "jwt": {"method": "private_key_jwt", "grant": "client_credentials",
            "auth": 'key = {{ file = "{root}/secrets/jwt" }}\nkid = "jwt-1"\nalg = "PS256"'},
    "mtls": {"method": "tls_client_auth", "grant": "client_credentials", "tls": IDENTITY},
    "self_signed": {"method": "self_signed_tls_client_auth", "grant": "client_credentials", "tls": IDENTITY},
}


class Clients:
    """Keys, certificates and secrets, made for this run."""

    def __init__(self, root, authority):
        self.root = root
        self.key = pki.SigningKey("PS256", "jwt-1", "pkcs8")
        for name in ("bound", "mtls"):
            authority.leaf(name, f"/CN={name}", "clientAuth")
        self_signed = self.certify_itself("self_signed")
        for name, secret in (SECRETS | {"jwt": self.key.pem}).items():
            pki.write_secret(root / "secrets" / name, secret)
        refreshed = {"scope": "openid offline_access"}
        bound = {"tls_client_certificate_bound_access_tokens": True}
        self.registered = [
            registered("code", "authorization_code", "refresh_token", **refreshed, redirect_uris=[ELSEWHERE],
                       response_types=["code"], client_secret=SECRETS["code"],
                       id_token_signed_response_alg="ES256"),
            registered("device", "urn:ietf:params:oauth:grant-type:device_code", "refresh_token", **refreshed,
                       id_token_signed_response_alg="EdDSA"),
            registered("bound", "urn:ietf:params:oauth:grant-type:device_code", "refresh_token", **refreshed,
                       tls_client_auth_subject_dn="CN=bound"),
            registered("jwt", "client_credentials", jwks={"keys": [self.key.jwk()]}),
            registered("mtls", "client_credentials", **bound, tls_client_auth_subject_dn="CN=mtls"),
            registered("self_signed", "client_credentials", **bound, jwks={"keys": [self_signed]}),
            registered("inspector", "client_credentials", client_secret=SECRETS["inspector"],
                       token_endpoint_auth_method="client_secret_basic"),
        ]

    def certify_itself(self, name):
        """Makes a certificate that no authority has signed; its JWK, by which the server knows it."""
        key = pki.SigningKey("ES256", name, "pkcs8")
        path, certificate = self.root / f"pki/{name}.key", self.root / f"pki/{name}.crt"
        pki.write_secret(path, key.pem)
        pki.openssl("req", "-x509", "-new", "-key", path, "-days", "2", "-subj", f"/CN={name}", "-out", certificate)
        der = pki.openssl("x509", "-in", certificate, "-outform", "DER")
        return key.jwk() | {"x5c": [base64.b64encode(der).decode()]}

    def write(self, issuer):
        """bearerd's configuration; its path."""
        path = self.root / "bearerd.toml"
        pki.write_secret(path, TABLE.format(root=self.root) + "".join(
            self.tables(name, issuer) for name in TABLES))
        return path

    def tables(self, name, issuer):
        service = name in SERVICES
        scope, required = ("[]", "true") if service else ('["openid", "offline_access"]', "false")
        own = {"auth": "", "login": "", "tls": ""} | TABLES[name]
        own = {key: text.format(root=self.root, name=name) for key, text in own.items()}
        tables = TOKEN if service else TOKEN + ID_TOKEN
        return tables.format(root=self.root, name=name, issuer=issuer, scope=scope, required=required,
                             format=form(name), **own)

    def readers(self, issuer):
        """curl's arguments for each token's reader, and the token's file."""
        ask = {True: self.introspect(issuer),
               False: ["--cacert", self.root / "pki/ca.crt", "--header", "@-", f"{issuer}/me"]}
        return {name: (ask[name in SERVICES], self.root / f"tokens/{name}.{form(name)}")
                for name in (*LOGINS, *SERVICES)}

    def introspect(self, issuer):
        """Introspection (RFC 7662): services have no userinfo, and a bound token needs its certificate there."""
        inspector = self.root / "secrets/inspector.curl"
        pki.write_secret(inspector, f'user = "inspector:{SECRETS["inspector"]}"\n')
        return ["--cacert", self.root / "pki/ca.crt", "--config", inspector,
                "--data-urlencode", "token@-", f"{issuer}/token/introspection"]


def form(name):
    return "raw" if name in SERVICES else "headers"


def registered(name, *grants, **more):
    """A client's metadata (RFC 7591 section 2)."""
    method = TABLES.get(name, {}).get("method")
    return {"client_id": name, "token_endpoint_auth_method": method, "grant_types": grants,
            "response_types": [], "redirect_uris": []} | more
