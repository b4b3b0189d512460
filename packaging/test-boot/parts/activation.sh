# shellcheck shell=bash
# Sockets that systemd binds. Sourced by `inside`.

sockets=(bearerd.socket bearerd-credentials.socket)

# recipe NUMBER: runs these commands of the document's section, as a reader does.
recipe() {
    local commands
    commands=$(snippet socket.md "Sockets bound by systemd" sh "$1")
    [[ -n $commands ]] && bash -euc "$commands"
}

socket_files() {
    stat -c '%n %i %a %U:%G' /run/bearerd/{bearerd,credentials}.sock
}

same_sockets() {
    local found
    found=$(socket_files)
    [[ $found == "$1" ]] || { echo "$found"; return 1; }
}

# waits_at SOCKET: somebody has connected, and nobody has accepted it yet. Linux shows such a socket as "connecting".
waits_at() {
    awk -v path="/run/bearerd/$1" '$6 == "02" && $8 == path { found = 1 } END { exit !found }' /proc/net/unix
}

socket_activation() {
    local held before
    held=$(<$tokens/reports)
    test_that "the documented commands leave the sockets to systemd" recipe 1
    test_that "which are root's" mode_is /run/bearerd/bearerd.sock "666 root:root"
    test_that "that for credentials closed to others" mode_is /run/bearerd/credentials.sock "600 root:root"
    test_that "and bearerd serves them" same_token reports "$held"
    before=$(socket_files)
    systemctl --quiet stop bearerd.service
    test_that "it can be stopped" property ActiveState inactive
    test_that "which leaves the sockets" same_sockets "$before"
    test_that "the first question is answered" says "$held" bearerd get reports
    test_that "by a bearerd that it has started" property ActiveState active
    systemctl --quiet stop bearerd.service
    rm -f /test/loaded-reports
    test_that "a unit that loads a credential starts" systemctl start loads@reports.service
    test_that "with the token" same_text /test/loaded-reports "$held"
    test_that "of a bearerd that it has started" property ActiveState active
    restart_with_clients "$held"
    test_that "at the same sockets" same_sockets "$before"
}

# Between the end of the one and the start of the next, it stands still at a gate.
restart_with_clients() {
    local pid client gate=/etc/systemd/system/bearerd.service.d/gate.conf
    pid=$(main_pid)
    mkfifo /test/ended /test/go
    cat >$gate <<'END'
[Service]
ExecStartPre=+sh -c 'echo >/test/ended; read -r _ </test/go'
END
    systemctl daemon-reload
    rm -f /test/loaded-reports
    systemctl restart --no-block bearerd.service
    timeout 20 cat /test/ended >/dev/null
    bearerd get reports >/test/answered &
    client=$!
    systemctl start --no-block loads@reports.service
    test_that "who connects while it restarts waits" eventually 5 waits_at bearerd.sock
    test_that "as does a unit that loads a credential" eventually 5 waits_at credentials.sock
    timeout 20 sh -c 'echo >/test/go'
    test_that "and is served" wait "$client"
    test_that "with the token" same_text /test/answered "$1"
    test_that "as is the unit" eventually 10 same_text /test/loaded-reports "$1"
    test_that "by the next process" another_process bearerd.service "$pid"
    rm $gate /test/ended /test/go
    systemctl daemon-reload
}

# The sockets are bound before bearerd has made its directory.
activation_at_boot() {
    systemctl stop "${sockets[@]}" bearerd.service
    rm -r /run/bearerd
    systemd-tmpfiles --create bearerd.conf
    systemctl start "${sockets[@]}"
    test_that "as at boot, the first question starts it" bearerd get reports
    test_that "and the socket stays root's" mode_is /run/bearerd/bearerd.sock "666 root:root"
}

activation_in_vain() {
    local held
    held=$(<$tokens/reports)
    systemctl --quiet stop bearerd.service
    echo 'mistaken = true' >/etc/bearerd/conf.d/mistaken.toml
    test_that "with a broken configuration, nobody is left waiting" ends_with 3 bearerd get reports
    test_that "the log says why" eventually 5 logged mistaken
    test_that "and systemd gives the sockets up" eventually 10 state_is bearerd.socket failed
    rm /etc/bearerd/conf.d/mistaken.toml
    test_that "the documented commands bring them back" recipe 3
    test_that "as systemd's" systemctl is-active --quiet "${sockets[@]}"
    test_that "and bearerd serves them" same_token reports "$held"
}

own_sockets_again() {
    local held
    held=$(<$tokens/reports)
    systemctl stop "${sockets[@]}"
    test_that "with the units, the sockets go" \
        fails test -e /run/bearerd/bearerd.sock -o -e /run/bearerd/credentials.sock
    test_that "the documented commands give them back to bearerd" recipe 2
    test_that "as its own" mode_is /run/bearerd/bearerd.sock "600 bearerd:bearerd"
    test_that "which it serves" same_token reports "$held"
    rm -f /test/loaded-reports
    test_that "to units, too" systemctl start loads@reports.service
    test_that "which have the token" same_text /test/loaded-reports "$held"
}
