"""What the daemon is told: secrets, keys and configuration files, and the realm that matches them."""

import json
from pathlib import Path

import pki
from daemon import TABLE

HERE = Path(__file__).parent
ALGORITHMS = ("RS512", "PS256", "ES256", "ES512")
NEW_PASSWORD = "new ß/pass&word=2"

# Tokens as LEV has them: one kept by its refresh token, one by the password alone. Of two users, for
# Keycloak's protection against guessing refuses a user's second login while the first is under way.
LEV = """
[client.{name}]
issuer    = "{issuer}"
client_id = "{client_id}"
[client.{name}.tls]
ca = "{root}/pki/ca.crt"
[client.{name}.auth.client_secret_post]
client_secret = {{ file = "{root}/secrets/lev-secret" }}
[token.{name}]
client = "{name}"
scope  = ["openid"]
[token.{name}.grant.password]
username = "{user}"
password = {{ file = "{root}/secrets/{user}-password" }}
[[token.{name}.file]]
path      = "{root}/tokens/{name}.{format}"
format    = "{format}"
on_expiry = "remove"
"""
SERVICE = """
[client.{name}]
issuer    = "{issuer}"
client_id = "{name}"
[client.{name}.tls]
ca = "{root}/pki/ca.crt"
{tls}[client.{name}.auth.{method}]
{auth}
[token.{name}]
client = "{name}"
[token.{name}.grant.client_credentials]
[[token.{name}.file]]
path      = "{root}/tokens/{name}.raw"
on_expiry = "remove"
"""


class Registrations:
    """Everything a host's administrator would have set up."""

    def __init__(self, root, authority):
        self.root = root
        for name in ("secrets", "tokens", "run", "conf.d"):
            (root / name).mkdir(mode=0o700)
        self.realm = json.loads((HERE / "realm.json").read_text())
        self.clients = {client["clientId"]: client for client in self.realm["clients"]}
        self.keys = {alg: [pki.SigningKey(alg, f"{alg}-1", "traditional"),
                           pki.SigningKey(alg, f"{alg}-2", "pkcs8")] for alg in ALGORITHMS}
        authority.leaf("mtls", "/CN=bearerd-mtls", "clientAuth")
        for alg, keys in self.keys.items():
            self.realm["clients"].append(signed_jwt_client(alg, keys))
        for client in self.realm["clients"]:
            client["protocolMappers"] = [AUDIENCE]
        for name, secret in self.secrets().items():
            pki.write_secret(root / "secrets" / name, secret)

    def secrets(self):
        """The secrets by file name."""
        plain = {name: self.clients[name]["secret"] for name in ("post", "basic", "inspector")}
        passwords = {f"{user['username']}-password": user["credentials"][0]["value"]
                     for user in self.realm["users"]}
        return plain | passwords | {"lev-secret": self.clients["lev-reports"]["secret"]}

    def write(self, issuer):
        """The configuration, as the administrator of (a) to (d) has it. Returns the main file."""
        self.issuer = issuer
        main = self.root / "bearerd.toml"
        lev = [LEV.format(root=self.root, issuer=issuer, name=name, client_id=client, user=user,
                          format=form)
               for name, client, user, form in (("lev", "lev-reports", "reports", "curl"),
                                                ("lev_plain", "lev-plain", "archive", "headers"))]
        pki.write_secret(main, TABLE.format(root=self.root) + "".join(lev))
        secret = 'client_secret = {{ file = "{root}/secrets/{name}" }}'
        self.drop_in("secrets", [
            self.service(name, f"client_secret_{name}", secret.format(root=self.root, name=name))
            for name in ("post", "basic")])
        identity = (f'certificate = "{self.root}/pki/mtls.crt"\n'
                    f'key = {{ file = "{self.root}/pki/mtls.key" }}\n')
        self.drop_in("mtls", [self.service("mtls", "tls_client_auth", tls=identity)])
        self.sign_with(0)
        return main

    def sign_with(self, which):
        """Puts the first (0) or second (1) key of every algorithm in place, then its `kid`."""
        services = []
        for alg, keys in self.keys.items():
            name, key = service_name(alg), keys[which]
            pki.write_secret(self.root / "secrets" / f"{name}.pem", key.pem)
            auth = (f'key = {{ file = "{self.root}/secrets/{name}.pem" }}\n'
                    f'kid = "{key.kid}"\nalg = "{alg}"')
            if alg == "ES512":
                auth += f'\naudience = "{self.issuer}"'
            services.append(self.service(name, "private_key_jwt", auth))
        self.drop_in("jwt", services)

    def service(self, name, method, auth="", tls=""):
        return SERVICE.format(root=self.root, issuer=self.issuer, name=name, method=method,
                              auth=auth, tls=tls)

    def drop_in(self, name, tables):
        pki.write_secret(self.root / "conf.d" / f"{name}.toml", "".join(tables))

    def jwks_without_first_keys(self):
        """Per algorithm: the client's name and a key set that knows the second key only."""
        return {service_name(alg): key_set(keys[1:]) for alg, keys in self.keys.items()}

    def user_readers(self):
        """curl's arguments for the tokens of a user: what LEV's clients do, at the userinfo endpoint."""
        userinfo = f"{self.issuer}/protocol/openid-connect/userinfo"
        common = ["--cacert", self.root / "pki/ca.crt", userinfo]
        return {"lev": (["--config", "-", *common], self.root / "tokens/lev.curl"),
                "lev_plain": (["--header", "@-", *common], self.root / "tokens/lev_plain.headers")}

    def service_readers(self):
        """curl's arguments for the tokens of services: introspection (RFC 7662)."""
        inspector = self.root / "secrets/inspector.curl"
        pki.write_secret(inspector, f'user = "inspector:{self.clients["inspector"]["secret"]}"\n')
        endpoint = f"{self.issuer}/protocol/openid-connect/token/introspect"
        arguments = ["--config", inspector, "--cacert", self.root / "pki/ca.crt",
                     "--data-urlencode", "token@-", endpoint]
        names = ["post", "basic", *map(service_name, ALGORITHMS), "mtls"]
        return {name: (arguments, self.root / f"tokens/{name}.raw") for name in names}


# Keycloak lets a client introspect only tokens that are meant for it.
AUDIENCE = {"name": "inspector", "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {"included.client.audience": "inspector", "access.token.claim": "true",
                       "introspection.token.claim": "true"}}


def service_name(alg):
    """`jwt_rs512` and the like: the client, the token, the file."""
    return f"jwt_{alg.lower()}"


def key_set(keys):
    """A JWK set (RFC 7517 section 5), as text."""
    return json.dumps({"keys": [key.jwk() for key in keys]})


def signed_jwt_client(alg, keys):
    """A client that may sign with any of these keys."""
    return {"clientId": service_name(alg), "publicClient": False, "serviceAccountsEnabled": True,
            "standardFlowEnabled": False, "clientAuthenticatorType": "client-jwt",
            "attributes": {"token.endpoint.auth.signing.alg": alg, "use.jwks.string": "true",
                           "jwks.string": key_set(keys)}}
