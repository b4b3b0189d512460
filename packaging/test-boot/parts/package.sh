# shellcheck shell=bash
# Without root, sealed, upgraded, removed. Sourced by `inside`.

member_home=/home/member
member_runtime=/run/user-of-member

as_member() {
    runuser -u member -- env "XDG_RUNTIME_DIR=$member_runtime" "HOME=$member_home" "$@"
}

# A manager for the user as a login would start it; PAM, which does, is not in this small Debian.
without_root() {
    local config=$member_home/.config/bearerd/bearerd.toml own=$member_runtime/bearerd
    install -d -o member -m 0700 $member_home $member_runtime
    install -d $member_home/.config/{bearerd,systemd/user}
    cat /etc/bearerd/conf.d/client.toml - >$config <<END
[token.mine]
client = "local"
[token.mine.grant.client_credentials]
[[token.mine.file]]
path = "$own/mine"
[[token.mine.hook]]
reload_consumers = true
END
    sed -i "s|/etc/bearerd/secrets/local|$member_home/secret|" $config
    service_recipe mine $member_home/got | sed 's|:/run/bearerd/|:%t/bearerd/|' \
        >$member_home/.config/systemd/user/loads-mine.service
    install -m 0600 /etc/bearerd/secrets/local $member_home/secret
    chown -R member: $member_home
    systemd-run --quiet --unit=manager-of-member --uid=member -p Delegate=yes \
        --setenv=XDG_RUNTIME_DIR=$member_runtime --setenv=HOME=$member_home /lib/systemd/systemd --user
    eventually 10 test -S $member_runtime/systemd/private
    test_that "a user starts a bearerd of their own" as_member systemctl --user start bearerd.service
    test_that "which has a token by then" test -s $own/mine
    test_that "for the user's own commands" as_member bearerd get mine
    test_that "and reloads" as_member systemctl --user reload bearerd.service
    test_that "with state in the home directory" test -s $member_home/.local/state/bearerd/tokens/mine.json
    consumer_without_root
    systemctl stop manager-of-member.service
    rm -r $member_home
}

# A unit of the user's, for which the user's manager asks.
consumer_without_root() {
    local held=$member_runtime/bearerd/mine first
    test_that "a unit of the user's loads a credential from it" as_member systemctl --user start loads-mine.service
    test_that "and has the token" eventually 5 same_content $member_home/got "$held"
    first=$(<"$held")
    test_that "which is replaced" as_member bearerd refresh mine
    test_that "in the file, too" eventually 5 changed_from "$held" "$first"
    test_that "and the unit is restarted with the new one" eventually 10 same_content $member_home/got "$held"
    as_member systemctl --user stop bearerd.service loads-mine.service
    rm $member_home/got
    test_that "the unit starts a bearerd that does not run" as_member systemctl --user start loads-mine.service
    test_that "and has the token" eventually 5 test -s $member_home/got
}

sealed_state() {
    local held credential=/etc/credstore.encrypted/bearerd-state-key
    install -d -m 0700 /etc/credstore.encrypted
    head -c 32 /dev/urandom | systemd-creds encrypt --name=bearerd-state-key - $credential
    systemd-creds encrypt --name=local-secret /etc/bearerd/secrets/local /etc/credstore.encrypted/local-secret
    sed -i 's|{ file = .*|{ credential = "local-secret" }|' /etc/bearerd/conf.d/client.toml
    cat >/etc/systemd/system/bearerd.service.d/seal.conf <<'END'
[Service]
LoadCredentialEncrypted=bearerd-state-key
LoadCredentialEncrypted=local-secret
END
    held=$(<$tokens/reports)
    systemctl daemon-reload
    test_that "it starts with a key for its state" timeout 20 systemctl restart bearerd.service
    test_that "and the token it had" same_token reports "$held"
    test_that "root checks with the credentials of the service" bearerd check
    test_that "state is sealed from now on" bearerd refresh reports
    test_that "so that no token stands in it" eventually 5 \
        fails grep -q "$(bearerd get reports)" /var/lib/bearerd/tokens/reports.json
}

upgrade_and_removal() {
    local held pid before
    systemctl stop bearerd.service
    systemctl enable --quiet --now "${sockets[@]}"
    systemctl start bearerd.service
    held=$(<$tokens/reports)
    pid=$(main_pid)
    before=$(socket_files)
    echo '# changed here' >>/etc/bearerd/bearerd.toml
    test_that "it is upgraded in place" apt-get install -y -qq /test/bearerd_1.0-2_*.deb
    test_that "which starts the new one" fails property MainPID "$pid"
    test_that "that is active" property ActiveState active
    test_that "and has the token" same_token reports "$held"
    test_that "and the sockets that systemd has bound" same_sockets "$before"
    test_that "and the configuration as it was" grep -qx '# changed here' /etc/bearerd/bearerd.toml
    test_that "it is removed" apt-get remove -y -qq bearerd
    test_that "and stopped" fails test -d /run/bearerd
    test_that "with its sockets" fails systemctl is-active --quiet "${sockets[@]}"
    test_that "removal keeps state" test -s /var/lib/bearerd/tokens/reports.json
    test_that "and secrets" test -s /etc/bearerd/secrets/local
    test_that "it is purged" apt-get purge -y -qq bearerd
    test_that "which leaves nothing" nothing_left
}

# The encrypted credential is not the package's.
nothing_left() {
    local left
    left=$(find /etc /lib /usr /var /run -xdev -iname '*bearerd*' \
        ! -path '/var/log/*' ! -path '/etc/credstore.encrypted/*' 2>/dev/null)
    [[ -z $left ]] || { echo "$left"; return 1; }
}
