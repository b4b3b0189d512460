"""The realm and the configuration of the logins' run: a client for each token, with its own rules."""

import json
from pathlib import Path

from daemon import TABLE

HERE = Path(__file__).parent
USER = "656005750104"
LIFETIME = 20
# Seconds of the short sessions: from the login to their end, and without use.
SESSION_MAXIMUM, SESSION_IDLE = 40, 20
LOGIN_NOTICE = 20
ELSEWHERE = "https://example.org/"

DAEMON = TABLE + """\
[daemon.notify]
command = ["/bin/sh", "-c", '''echo "$BEARERD_TOKEN $BEARERD_STATE $BEARERD_URL" >>{root}/notices''']
"""
TOKEN = """
[client.{name}]
issuer    = "{issuer}"
client_id = "{name}"
[client.{name}.tls]
ca = "{root}/pki/ca.crt"
{auth}
[token.{name}]
client = "{name}"
scope  = ["openid"]
required = {required}
{more}
[[token.{name}.file]]
path = "{root}/tokens/{name}.headers"
format = "headers"
on_expiry = "remove"
"""
CODE = f'[token.{{name}}.grant.authorization_code]\nredirect_uri = "{ELSEWHERE}"\n'
# What each token adds: to its client at the server, and to its configuration.
TOKENS = {
    # Without a person.
    "form": ({"redirectUris": [ELSEWHERE]},
             CODE + f'form_login = {{{{ username = "{USER}" }}}}\nmock_identity_provider = true'),
    # Standard token exchange (RFC 8693) of an access token.
    "derived": ({"standardFlowEnabled": False, "attributes": {"standard.token.exchange.enabled": "true"}},
                "[token.{name}.grant.token_exchange]\n"
                'subject_token = {{ token = "form", field = "access_token" }}\n'
                "[token.{name}.refresh]\nfollow_source = true"),
    "pasted": ({"redirectUris": [ELSEWHERE]}, CODE),
    "local": ({"redirectUris": ["http://127.0.0.1/*"]},
              "revoke_on_removal = true\n[token.{name}.grant.authorization_code]"),
    "device": ({"publicClient": True, "standardFlowEnabled": False,
                "attributes": {"oauth2.device.authorization.grant.enabled": "true"}},
               "[token.{name}.grant.device_code]"),
    "brief": ({"redirectUris": [ELSEWHERE],
               "attributes": {"client.session.max.lifespan": str(SESSION_MAXIMUM)}},
              CODE + f'[token.{{name}}.refresh]\nlogin_notice = "{LOGIN_NOTICE}s"'),
    "idle": ({"redirectUris": [ELSEWHERE],
              "attributes": {"client.session.idle.timeout": str(SESSION_IDLE),
                             "access.token.lifespan": "90"}}, CODE),
}
# Keycloak exchanges only tokens that are meant for whoever asks.
AUDIENCE = {"name": "derived", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
            "config": {"included.client.audience": "derived", "access.token.claim": "true"}}


def realm():
    """The mock's realm with these clients."""
    made = json.loads((HERE / "realm-cis2.json").read_text())
    made |= {"accessTokenLifespan": LIFETIME, "clients": [client(name) for name in TOKENS],
             # Refreshes are not among those kept by default.
             "enabledEventTypes": ["CODE_TO_TOKEN", "LOGIN", "LOGOUT", "OAUTH2_DEVICE_CODE_TO_TOKEN",
                                   "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "REVOKE_GRANT", "TOKEN_EXCHANGE"]}
    return made


def client(name):
    """The client's registration."""
    more = TOKENS[name][0]
    return {"clientId": name, "publicClient": False, "secret": secret(name), "standardFlowEnabled": True,
            "directAccessGrantsEnabled": False, "protocolMappers": [AUDIENCE] if name == "form" else []} | more


def secret(name):
    """The client's secret, with all that encodings get wrong."""
    return f"{name}+2%:ü secret"


def configuration(root, issuer):
    """The main file, and the one that is to be removed, as text."""
    texts = {name: token(root, issuer, name) for name in TOKENS}
    removable = texts.pop("local")
    return DAEMON.format(root=root) + "".join(texts.values()), removable


def token(root, issuer, name):
    """The tables of a client and its token."""
    public = TOKENS[name][0].get("publicClient")
    auth = (f"[client.{name}.auth.none]" if public else
            f'[client.{name}.auth.client_secret_basic]\nclient_secret = {{ file = "{root}/secrets/{name}" }}')
    required = "true" if name in ("form", "derived") else "false"
    return TOKEN.format(root=root, issuer=issuer, name=name, auth=auth, required=required,
                        more=TOKENS[name][1].format(name=name))
