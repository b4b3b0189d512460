# shellcheck shell=bash
# The service itself. Sourced by `inside`.

installed_and_idle() {
    test_that "the package installs" apt-get install -y -qq /test/bearerd_1.0-1_*.deb
    test_that "it is active, with nothing to do" property ActiveState active
    test_that "it is enabled" systemctl is-enabled --quiet bearerd.service
    test_that "the unit as loaded is exposed to 1.3 at most" \
        systemd-analyze security --no-pager --threshold=13 bearerd.service
    test_that "it runs as its own user" property User bearerd
    test_that "it has no capability" grep -q '^CapBnd:.0*$' "/proc/$(main_pid)/status"
    test_that "it dumps no core" grep -Eq '^Max core file size +0 +0 ' "/proc/$(main_pid)/limits"
    test_that "state is closed to others" mode_is /var/lib/bearerd "700 bearerd:bearerd"
    test_that "token files can be reached" mode_is $tokens "755 bearerd:bearerd"
    test_that "secrets are closed to others" mode_is /etc/bearerd/secrets "750 root:bearerd"
    test_that "there is a manual page" test -s /usr/share/man/man8/bearerd.8.gz
    test_that "and there are completions" bash -n /usr/share/bash-completion/completions/bearerd
    test_that "and there are hooks" mode_is /usr/share/bearerd/hooks/mail "755 root:root"
}

configure() {
    groupadd readers
    useradd --no-create-home --groups readers member
    useradd --no-create-home stranger
    secret local a-client-secret
    secret seed seed
    cat >/etc/bearerd/conf.d/client.toml <<'END'
[client.local]
token_endpoint = "http://127.0.0.1:8080/token"
client_id = "test"
[client.local.auth.client_secret_post]
client_secret = { file = "/etc/bearerd/secrets/local" }
END
    token reports client_credentials
    token session refresh_token
    # The recipe for groups from the unit, and times that a test can wait for.
    mkdir -p /etc/systemd/system/bearerd.service.d
    cat >/etc/systemd/system/bearerd.service.d/test.conf <<'END'
[Service]
SupplementaryGroups=readers
SystemCallFilter=fchown
WatchdogSec=3s
TimeoutAbortSec=1s
END
    # And the one for a systemd that waits for the end of a reload.
    if (($(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') >= 253)); then
        printf 'Type=notify-reload\nExecReload=\n' >>/etc/systemd/system/bearerd.service.d/test.conf
    fi
    systemctl daemon-reload
}

ready_when_tokens_are_there() {
    systemctl restart --no-block bearerd.service
    test_that "without tokens it is not ready" eventually 5 property ActiveState activating
    sleep 2
    test_that "and does not become so" property ActiveState activating
    systemctl start token-server.service
    test_that "with tokens it is" eventually 40 property ActiveState active
    test_that "their files are there by then" test -s $tokens/reports -a -s $tokens/session
}

readers() {
    test_that "a member of the group reads the file" runuser -u member -- cat $tokens/reports
    test_that "nobody else does" fails runuser -u stranger -- cat $tokens/reports
    test_that "nor asks the socket" refused runuser -u stranger -- bearerd get reports
    systemctl start job.timer
    test_that "a timer's job gets it" eventually 10 same_content /test/job-got $tokens/reports
}

reload() {
    local pid
    pid=$(main_pid)
    token added client_credentials
    sed -i "s|$tokens/added|$tokens/below/added|" /etc/bearerd/conf.d/added.toml
    test_that "root checks as the user bearerd" says "checking as user bearerd" bearerd check
    test_that "as that user itself does" runuser -u bearerd -- bearerd check
    echo "# systemctl reload, with Type=$(systemctl show -P Type bearerd.service)"
    test_that "reload succeeds" systemctl reload bearerd.service
    test_that "and brings the new token" eventually 10 test -s $tokens/below/added
    test_that "readable by the group in a directory it made" runuser -u member -- cat $tokens/below/added
    test_that "in the same process" property MainPID "$pid"
}

same_content() {
    [[ -s $1 && $(<"$1") == "$(<"$2")" ]]
}

changed_from() {
    [[ -s $1 && $(<"$1") != "$2" ]]
}

rotation() {
    local first
    token short client_credentials short
    cat >>/etc/bearerd/conf.d/short.toml <<'END'
[[token.short.hook]]
command = ["touch", "/run/bearerd/hook-ran"]
END
    systemctl reload bearerd.service
    eventually 10 test -s $tokens/short
    first=$(<$tokens/short)
    rm -f /run/bearerd/hook-ran
    systemctl start consumer.service consumer-token.path
    test_that "a short token is replaced" eventually 15 changed_from $tokens/short "$first"
    test_that "its hook runs" eventually 5 test -e /run/bearerd/hook-ran
    test_that "a path unit reloads the consumer" eventually 5 test -s /test/consumer-got
    test_that "which reads a new token" fails grep -qx "$first" /test/consumer-got
    systemctl stop consumer-token.path consumer.service
    rm /etc/bearerd/conf.d/short.toml
    systemctl reload bearerd.service
    test_that "a removed token loses its file" eventually 10 test ! -e $tokens/short
}

outage() {
    local held pid
    held=$(<$tokens/reports)
    pid=$(main_pid)
    systemctl stop token-server.service
    test_that "it restarts while the server is away" timeout 20 systemctl restart bearerd.service
    test_that "as a new process" fails property MainPID "$pid"
    test_that "and serves what it had" same_token reports "$held"
}

crash() {
    local held session pid restarts
    held=$(<$tokens/reports)
    session=$(<$tokens/session)
    pid=$(main_pid)
    restarts=$(systemctl show -P NRestarts bearerd.service)
    kill -KILL "$pid"
    test_that "killed, it is started again" eventually 20 property NRestarts $((restarts + 1))
    test_that "and becomes ready" eventually 20 property ActiveState active
    test_that "with the token it had" same_token reports "$held"
    systemctl start token-server.service
    test_that "its refresh token still counts" bearerd refresh session
    test_that "and has brought a new token" eventually 10 changed_from $tokens/session "$session"
    test_that "the server has refused nothing" grep -q '"refused": 0' /test/server-state.json
}

watchdog() {
    local held pid
    held=$(<$tokens/reports)
    pid=$(main_pid)
    kill -STOP "$pid"
    test_that "stopped, it is ended by the watchdog" eventually 20 fails test -d "/proc/$pid"
    test_that "which the journal says" eventually 5 \
        sh -c 'journalctl -u bearerd.service --no-pager | grep -q "Failed with result .watchdog"'
    test_that "and started again" eventually 20 property ActiveState active
    test_that "with the token it had" same_token reports "$held"
}
