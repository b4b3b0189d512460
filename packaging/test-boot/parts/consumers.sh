# shellcheck shell=bash
# Other units, and what they get. Sourced by `inside`.

# logged WORDS: bearerd's journal has a line with them.
logged() {
    journalctl -u bearerd.service --no-pager | grep -F -- "$1"
}

# same_text FILE TEXT
same_text() {
    local found
    found=$(<"$1")
    [[ $found == "$2" ]] || { echo "$1: $found"; return 1; }
}

# state_is UNIT STATE
state_is() {
    local found
    found=$(systemctl show -P ActiveState "$1")
    [[ $found == "$2" ]] || { echo "$1 is $found"; return 1; }
}

# The main process of another unit.
pid_of() {
    systemctl show -P MainPID "$1"
}

another_process() {
    local now
    now=$(pid_of "$1")
    [[ $now != "$2" && $now != 0 ]]
}

credentials() {
    local held
    held=$(<$tokens/reports)
    install -d -o stranger /test/loaded
    test_that "a unit starts with credentials from bearerd" systemctl start loads.service
    test_that "it has the token" eventually 5 same_content /test/loaded/reports $tokens/reports
    test_that "and headers, if it wants them" \
        eventually 5 same_text /test/loaded/reports.headers "Authorization: Bearer $held"
    test_that "and JSON" grep -q "\"access_token\":\"$held\"" /test/loaded/reports.json
    test_that "bearerd's log has the unit" logged 'unit=loads.service credential=reports.json'
    systemctl stop loads.service
    test_that "an instance of a template starts" systemctl start loads@reports.env.service
    test_that "and has its own format" same_text /test/loaded-reports.env "ACCESS_TOKEN=\"$held\""
    test_that "for a token that does not exist, a unit gets nothing" fails systemctl start loads-unknown.service
    test_that "and the log says why" logged 'no token is named so'
    test_that "and for whom" logged 'unit=loads-unknown.service credential=nonesuch'
    test_that "the journal has both as fields" eventually 5 \
        sh -c 'journalctl UNIT=loads-unknown.service CREDENTIAL=nonesuch -o cat --no-pager | grep -q "no credential sent"'
    cat >>/etc/bearerd/conf.d/reports.toml <<END
[[token.reports.file]]
path = "$tokens/reports.env"
format = "env"
END
    systemctl reload bearerd.service
    eventually 10 test -s $tokens/reports.env
    systemctl start environment.service
    test_that "a file in the env format is an EnvironmentFile" same_text /test/environment-got "$held"
}

# service_recipe TOKEN FILE: the unit that the document has for a service, which writes its token to the file.
service_recipe() {
    snippet consumers.md "A service" ini 2 | sed "s/=nhs:/=$1:/; s|%d/nhs|%d/$1|"
    echo Type=exec
    echo "ExecStart=sh -c 'cat \"\$TOKEN_FILE\" >$2 && exec sleep infinity'"
}

started_together() {
    local held unit=/etc/systemd/system/together.service
    held=$(<$tokens/reports)
    service_recipe reports /test/together >$unit
    systemctl daemon-reload
    systemctl stop bearerd.service
    test_that "without bearerd, there is no socket" fails test -e /run/bearerd/credentials.sock
    test_that "a unit as documented starts all the same" systemctl start together.service
    test_that "with the token" eventually 5 same_text /test/together "$held"
    test_that "of a bearerd that it has started" property ActiveState active
    systemctl stop together.service
    rm $unit
    systemctl daemon-reload
}

first_token_is_waited_for() {
    systemctl stop token-server.service
    token late client_credentials
    systemctl reload bearerd.service
    systemctl start --no-block loads@late.service
    sleep 2
    test_that "a unit waits for a token that is not there yet" \
        state_is loads@late.service activating
    systemctl start token-server.service
    test_that "and gets it" eventually 30 test -s /test/loaded-late
    test_that "as the file does" eventually 5 same_content /test/loaded-late $tokens/late
}

# read_in UNIT TOKEN: by a process of the user stranger.
read_in() {
    systemd-run --quiet --wait --pipe --collect --unit="$1" --uid=stranger bearerd get "$2"
}

may_read() {
    [[ $(read_in "$@") == access-* ]]
}

# allow TOKEN RULE
allow() {
    printf '[token.%s.socket]\nallow = ["%s"]\n' "$1" "$2" >>"/etc/bearerd/conf.d/$1.toml"
}

socket_rules() {
    token by-unit client_credentials
    token by-group client_credentials
    token by-user client_credentials
    allow by-unit "unit:allowed@*.service"
    allow by-group group:readers
    allow by-user user:stranger
    systemctl reload bearerd.service
    eventually 10 test -s $tokens/by-unit -a -s $tokens/by-group -a -s $tokens/by-user
    test_that "a unit that is allowed reads the token" may_read allowed@1.service by-unit
    test_that "another does not" refused read_in other.service by-unit
    test_that "nor the same user without one" refused runuser -u stranger -- bearerd get by-unit
    test_that "a further group's member reads it" runuser -u member -- bearerd get by-group
    test_that "who is in no such group does not" refused runuser -u stranger -- bearerd get by-group
    test_that "the user that is allowed reads it" runuser -u stranger -- bearerd get by-user
    test_that "another user does not" refused runuser -u member -- bearerd get by-user
    test_that "nor does the allowed user read another token" refused runuser -u stranger -- bearerd get reports
    rm /etc/bearerd/conf.d/by-{unit,group,user}.toml
    systemctl reload bearerd.service
    test_that "without rules the socket is closed again" eventually 10 mode_is /run/bearerd/bearerd.sock "600 bearerd:bearerd"
}

# lines COUNT MESSAGE FIELD=VALUE...: of bearerd's, in the journal.
lines() {
    local count=$1 message=$2 found
    shift 2
    journalctl --sync
    found=$(journalctl _SYSTEMD_UNIT=bearerd.service "$@" --output=cat --no-pager | grep "^$message ")
    [[ $(grep -c . <<<"$found") == "$count" ]] || { echo "$found"; return 1; }
}

# refused_often: twenty times, well within the ten seconds for which a refusal is not logged again.
refused_often() {
    local n
    for ((n = 0; n < 20; n++)); do
        refused runuser -u member -- bearerd get audited || return
    done
}

audit() {
    local n uid
    token audited client_credentials
    allow audited "unit:allowed@*.service"
    systemctl reload bearerd.service
    eventually 10 test -s $tokens/audited
    for n in first second third; do
        test_that "who is allowed reads a token, for the $n time" may_read allowed@2.service audited
    done
    test_that "of which the journal has one line" lines 1 "may read" TOKEN=audited
    uid=$(id -u stranger)
    test_that "that says who, in what unit, and by which rule" \
        lines 1 "may read" TOKEN=audited "UID=$uid" UNIT=allowed@2.service "RULE=unit:allowed@*.service"
    test_that "another instance reads it" may_read allowed@3.service audited
    test_that "which is news" lines 1 "may read" TOKEN=audited UNIT=allowed@3.service
    test_that "who is refused comes again and again" refused_often
    test_that "of which the journal has one line, too" lines 1 denied TOKEN=audited
    uid=$(id -u member)
    test_that "that says who, and in what unit" lines 1 denied TOKEN=audited "UID=$uid" UNIT=test-boot.service
    rm /etc/bearerd/conf.d/audited.toml
    systemctl reload bearerd.service
}

# All that the tests have made bearerd, systemd and consumers say. What the server issues is access-1, refresh-2 and
# so on.
nothing_secret_logged() {
    local journal=/tmp/journal
    journalctl --sync
    journalctl --output=export >$journal
    test_that "the journal is there from the first token on" grep -aq 'published token=reports generation=1$' $journal
    test_that "and has no token and no secret in it" fails grep -aE '(access|refresh)-[0-9]|a-client-secret' $journal
}

as_bearerd() {
    runuser -u bearerd -- systemctl --no-ask-password "$@"
}

consumers() {
    local pid other rule=/usr/share/polkit-1/rules.d/50-bearerd.rules
    mv $rule /test/
    token rotating client_credentials short
    printf '[[token.rotating.hook]]\nreload_consumers = true\n' >>/etc/bearerd/conf.d/rotating.toml
    systemctl reload bearerd.service
    eventually 10 test -s $tokens/rotating
    systemctl start rotates.service stopped.service reports.service
    systemctl stop stopped.service
    pid=$(pid_of rotates.service)
    test_that "without the polkit rule, consumers cannot be restarted" \
        eventually 15 logged 'Failed to try-restart rotates.service: Interactive authentication required'
    test_that "and the log says what is missing" logged 'hint: polkit has to be installed and to allow it'
    test_that "and they are left alone" fails another_process rotates.service "$pid"
    mv /test/50-bearerd.rules $rule
    test_that "with it, a consumer is restarted when its token is replaced" \
        eventually 40 another_process rotates.service "$pid"
    test_that "and has the new token" eventually 10 same_content /test/rotated $tokens/rotating
    test_that "one that does not run is not started" \
        state_is stopped.service inactive
    systemctl restart bearerd.service
    pid=$(pid_of rotates.service)
    test_that "bearerd remembers its consumers over a restart" eventually 20 another_process rotates.service "$pid"
    other=$(pid_of reports.service)
    test_that "its user may restart a unit that loads credentials from it" as_bearerd try-restart rotates.service
    test_that "but not stop it" fails as_bearerd stop rotates.service
    test_that "nor start one" fails as_bearerd start stopped.service
    test_that "nor restart a unit that loads none" fails as_bearerd try-restart reports.service
    test_that "which nothing has done" fails another_process reports.service "$other"
    test_that "and other users may do nothing" \
        fails runuser -u stranger -- systemctl --no-ask-password try-restart rotates.service
    echo 'polkit.addRule(function (a, subject) { if (subject.user === "bearerd") return polkit.Result.NO; });' \
        >/etc/polkit-1/rules.d/00-none.rules
    test_that "an administrator can take that right away" \
        eventually 5 fails as_bearerd try-restart rotates.service
    rm /etc/polkit-1/rules.d/00-none.rules
    test_that "and give it back" eventually 5 as_bearerd try-restart rotates.service
    cat >>/etc/bearerd/conf.d/rotating.toml <<'END'
[[token.rotating.hook]]
command = ["systemctl", "try-reload-or-restart", "reports.service"]
END
    install -m 0644 /usr/share/doc/bearerd/examples/polkit-hooks.rules /etc/polkit-1/rules.d/40-bearerd-hooks.rules
    systemctl reload bearerd.service
    test_that "an administrator's rule lets a hook reload the unit it names" \
        eventually 20 test -s /test/reports-reloaded
    test_that "by a reload" fails another_process reports.service "$other"
    systemctl stop rotates.service reports.service
    rm /etc/bearerd/conf.d/rotating.toml /etc/polkit-1/rules.d/40-bearerd-hooks.rules
    systemctl reload bearerd.service
}
