"""A token endpoint on loopback. Refresh tokens rotate, and each is taken once; a second use is written down.

Scope "short" lives for eight seconds, everything else for an hour. Refresh tokens outlive a restart of this
server: its state is the file named on the command line.
"""

import http.server
import json
import os
import pathlib
import socket
import sys
import urllib.parse

STATE = pathlib.Path(sys.argv[1])


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
        state = json.loads(STATE.read_text()) if STATE.exists() else {"issued": 0, "refused": 0, "refresh": "seed"}
        answer, status = self.grant(form, state)
        STATE.write_text(json.dumps(state))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def grant(self, form, state):
        if form.get("client_secret") != "a-client-secret":
            state["refused"] += 1
            return {"error": "invalid_client"}, 401
        number = state["issued"] + 1
        answer = {
            "access_token": f"access-{number}",
            "token_type": "Bearer",
            "expires_in": 8 if form.get("scope") == "short" else 3600,
        }
        if form["grant_type"] == "refresh_token":
            if form.get("refresh_token") != state["refresh"]:
                state["refused"] += 1
                return {"error": "invalid_grant"}, 400
            state["refresh"] = answer["refresh_token"] = f"refresh-{number}"
        state["issued"] = number
        return answer, 200


server = http.server.HTTPServer(("127.0.0.1", 8080), TokenEndpoint)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
