//! The durable state: what survives restarts, reboots, kills, damage and lost keys.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use bearerd::clock;
use bearerd::config::Environment;
use bearerd::store::seal::OpenError;
use bearerd::store::state_dir::StateDirError;
use bearerd::store::state_file::{DecodeError, decode, encode};
use bearerd::store::{
    BootId, Loaded, Moment, Record, Sealer, SealerError, StateDir, StateWarning, StateWriter,
};
use bearerd::token::Token;
use bearerd_core::credential::{RefreshValidity, TokenName, Validity};
use bearerd_core::instant::Instant;
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

fn name(text: &str) -> TokenName {
    TokenName::parse(text).unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::since_boot(Duration::from_secs(seconds))
}

/// Boot "a", 10,000 s after it; the wall clock says 1,000,000 s.
fn moment() -> Moment {
    Moment {
        boot: BootId::from("a"),
        now: at(10_000),
        unix_now: Duration::from_secs(1_000_000),
    }
}

fn present() -> Moment {
    Moment {
        boot: BootId::of_system(),
        now: clock::now(),
        unix_now: clock::unix_now(),
    }
}

fn secret(text: impl Into<String>) -> SecretString {
    SecretString::from(text.into())
}

/// Obtained 600 s before [`moment`], good for an hour, its refresh token for a day.
fn record(name: &TokenName, generation: u64) -> Record {
    let token = Token {
        access_token: secret(access_token(name, generation)),
        token_type: "Bearer".into(),
        scope: Some("openid \"quoted\"".into()),
        id_token: Some(secret("id")),
        refresh_token: Some(secret(format!("refresh-{generation}"))),
        validity: Validity {
            obtained_at: at(9_400),
            expires_at: at(13_000) + Duration::from_nanos(7),
            refresh: Some(RefreshValidity {
                expires_at: Some(at(95_800)),
            }),
            id_token_expires_at: None,
        },
    };
    Record {
        name: name.clone(),
        generation,
        identity: [7; 16],
        token: Arc::new(token),
        window_fixed: true,
        open_intent: Some(at(9_999)),
        quarantined_refresh_tokens: vec![secret("set-aside")],
    }
}

/// Recognizable when cut or mixed.
fn access_token(name: &TokenName, generation: u64) -> String {
    format!("{name}-{generation}.").repeat(1 + usize::try_from(generation % 300).unwrap())
}

fn key(byte: u8) -> Sealer {
    Sealer::from_key(&[byte; 32]).unwrap()
}

/// All that a record says, secrets included.
fn told(record: &Record) -> String {
    let token = &record.token;
    let opened = |s: &Option<SecretString>| s.as_ref().map(|s| s.expose_secret().to_owned());
    let set_aside: Vec<_> = record
        .quarantined_refresh_tokens
        .iter()
        .map(|s| s.expose_secret().to_owned())
        .collect();
    format!(
        "{} {} {:?} {} {} {:?} {:?} {:?} {:?} {:?} {} {set_aside:?}",
        record.name,
        record.generation,
        record.identity,
        token.access_token.expose_secret(),
        token.token_type,
        token.scope,
        opened(&token.id_token),
        opened(&token.refresh_token),
        token.validity,
        record.open_intent,
        record.window_fixed,
    )
}

fn bytes(record: &Record, sealer: &Sealer) -> Vec<u8> {
    encode(record, sealer, &moment()).unwrap().to_vec()
}

fn path(dir: &TempDir, file: &str) -> PathBuf {
    dir.path().join("tokens").join(file)
}

fn load(dir: &TempDir, sealer: &Sealer) -> Loaded {
    StateDir::open(dir.path())
        .unwrap()
        .load_all(sealer, &moment())
        .unwrap()
}

/// A state directory with these files in it.
fn state_dir(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() {
        "/dev/shm"
    } else {
        "/tmp"
    })
    .unwrap();
    drop(StateDir::open(dir.path()).unwrap());
    for (file, content) in files {
        fs::write(path(&dir, file), content).unwrap();
    }
    dir
}

fn files(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path().join("tokens")).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_record_comes_back_as_it_was() {
    let lev = name("lev");
    let mut bare = record(&lev, 3);
    bare.open_intent = None;
    bare.quarantined_refresh_tokens.clear();
    bare.token = Arc::new(Token {
        scope: None,
        id_token: None,
        refresh_token: None,
        validity: Validity {
            refresh: None,
            ..bare.token.validity
        },
        ..Token::clone(&bare.token)
    });
    for sealer in [Sealer::None, key(1)] {
        for record in [&record(&lev, 42), &bare] {
            let bytes = bytes(record, &sealer);
            let later = Moment {
                now: at(12_000),
                // Whatever happens to the wall clock.
                unix_now: Duration::from_secs(5),
                ..moment()
            };
            let back = decode(&lev, &bytes, &sealer, &later).unwrap();
            assert_eq!(told(&back), told(record));
            let sealed = matches!(sealer, Sealer::Aes256Gcm(_));
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.contains("lev-"), !sealed, "{text}");
        }
    }
}

#[test]
fn after_a_reboot_the_wall_clock_counts() {
    let lev = name("lev");
    let record = record(&lev, 1);
    for old_boot in ["a", "unknown to both"] {
        let mut written = moment();
        written.boot = BootId::from(old_boot);
        let bytes = encode(&record, &Sealer::None, &written).unwrap();
        // 1,000 s later by the wall clock, and 30 s after boot.
        let rebooted = Moment {
            boot: BootId::from("b"),
            now: at(30),
            unix_now: Duration::from_secs(1_001_000),
        };
        let back = decode(&lev, &bytes, &Sealer::None, &rebooted).unwrap();
        let validity = back.token.validity;
        assert_eq!(validity.obtained_at, Instant::BOOT);
        assert_eq!(
            validity.expires_at,
            at(30 + 2_000) + Duration::from_nanos(7)
        );
        let refresh = validity.refresh.unwrap().expires_at;
        assert_eq!(refresh, Some(at(30 + 84_800)));
        assert!(back.open_intent.is_some());
        // Long after: both have expired, and say so.
        let late = Moment {
            unix_now: Duration::from_secs(9_000_000),
            ..rebooted
        };
        let validity = decode(&lev, &bytes, &Sealer::None, &late)
            .unwrap()
            .token
            .validity;
        assert!(validity.expires_at <= late.now);
        assert!(validity.refresh.unwrap().expires_at.unwrap() <= late.now);
    }
}

#[test]
fn after_a_reboot_with_the_clock_set_back_only_the_refresh_token_counts() {
    let lev = name("lev");
    let bytes = bytes(&record(&lev, 1), &Sealer::None);
    let set_back = Moment {
        boot: BootId::from("b"),
        now: at(30),
        unix_now: Duration::from_secs(900_000),
    };
    let back = decode(&lev, &bytes, &Sealer::None, &set_back).unwrap();
    let validity = back.token.validity;
    assert_eq!(
        (validity.obtained_at, validity.expires_at),
        (Instant::BOOT, Instant::BOOT)
    );
    assert_eq!(validity.refresh.unwrap().expires_at, Some(at(30 + 86_400)));
    assert!(back.token.refresh_token.is_some());
    assert!(back.open_intent.is_some());
}

#[test]
fn a_boottime_still_to_come_is_not_this_boots() {
    // The same boot id, and a clock that says less: a container with a clock of its own.
    let lev = name("lev");
    let bytes = bytes(&record(&lev, 1), &Sealer::None);
    let container = Moment {
        now: at(50),
        ..moment()
    };
    let validity = decode(&lev, &bytes, &Sealer::None, &container)
        .unwrap()
        .token
        .validity;
    assert_eq!(
        validity.expires_at,
        at(50 + 3_000) + Duration::from_nanos(7)
    );
    // Two unknown boots are not the same one.
    let unknown = Moment {
        boot: BootId::UNKNOWN,
        ..moment()
    };
    let bytes = encode(&record(&lev, 1), &Sealer::None, &unknown).unwrap();
    let later = Moment {
        now: at(9_500),
        ..unknown
    };
    let validity = decode(&lev, &bytes, &Sealer::None, &later)
        .unwrap()
        .token
        .validity;
    assert_eq!(
        validity.expires_at,
        at(9_500 + 3_000) + Duration::from_nanos(7)
    );
}

#[test]
fn absurd_times_saturate() {
    let lev = name("lev");
    let mut record = record(&lev, 1);
    let mut token = Token::clone(&record.token);
    token.validity.expires_at = Instant::since_boot(Duration::MAX);
    record.token = Arc::new(token);
    let bytes = bytes(&record, &Sealer::None);
    let rebooted = Moment {
        boot: BootId::from("b"),
        ..moment()
    };
    let validity = decode(&lev, &bytes, &Sealer::None, &rebooted)
        .unwrap()
        .token
        .validity;
    assert!(validity.expires_at > at(1 << 60));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let lev = name("lev");
        prop_assert!(decode(&lev, &bytes, &Sealer::None, &moment()).is_err());
        prop_assert!(decode(&lev, &bytes, &key(1), &moment()).is_err());
    }

    #[test]
    fn a_sealed_record_shows_every_flipped_bit(position in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let lev = name("lev");
        let mut bytes = bytes(&record(&lev, 5), &key(1));
        let position = position.index(bytes.len());
        bytes[position] ^= 1_u8 << bit;
        prop_assert!(decode(&lev, &bytes, &key(1), &moment()).is_err());
    }

    #[test]
    fn a_plain_record_survives_or_shows_a_flipped_bit(position in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let lev = name("lev");
        let mut bytes = bytes(&record(&lev, 5), &Sealer::None);
        let position = position.index(bytes.len());
        bytes[position] ^= 1_u8 << bit;
        let later = Moment { boot: BootId::from("b"), now: at(9_000), ..moment() };
        let _ = decode(&lev, &bytes, &Sealer::None, &later);
    }

    #[test]
    fn a_cut_record_is_damaged(cut in any::<prop::sample::Index>(), sealed in any::<bool>()) {
        let lev = name("lev");
        let sealer = if sealed { key(1) } else { Sealer::None };
        let bytes = bytes(&record(&lev, 5), &sealer);
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(decode(&lev, cut, &sealer, &moment()).is_err());
    }
}

#[test]
fn what_cannot_be_used_is_set_aside_and_stops_nothing() {
    let good = bytes(&record(&name("good"), 4), &Sealer::None);
    let foreign = String::from_utf8(good.clone())
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    let dir = state_dir(&[
        ("good.json", &good),
        ("cut.json", &good[..good.len() / 2]),
        ("empty.json", b""),
        ("foreign.json", foreign.as_bytes()),
        ("noise.json", &[0xff; 100]),
        ("swapped.json", &good),
        ("deep.json", "[".repeat(100_000).as_bytes()),
        ("README", b"left alone"),
        (".hidden.json", b"left alone"),
        (".bearerd-tmp-1", b"half a record"),
    ]);
    let loaded = load(&dir, &Sealer::None);
    let records: Vec<_> = loaded.records.iter().map(told).collect();
    assert_eq!(records, [told(&record(&name("good"), 4))]);
    let mut seen = Vec::new();
    for warning in &loaded.warnings {
        let StateWarning::Quarantined {
            name,
            kept_as,
            cause,
        } = warning
        else {
            unreachable!("{warning}");
        };
        assert!(kept_as.is_file(), "{warning}");
        assert!(
            warning.to_string().contains(".quarantined-1000000"),
            "{warning}"
        );
        seen.push((name.as_str(), cause.clone()));
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.contains(&("foreign", DecodeError::ForeignVersion(2))));
    assert!(seen.contains(&("swapped", DecodeError::OtherToken)));
    assert!(seen.contains(&("empty", DecodeError::Damaged { line: 1, column: 0 })));
    assert_eq!(fs::read(path(&dir, "README")).unwrap(), b"left alone");
    write_with(
        StateDir::open(dir.path()).unwrap(),
        Sealer::None,
        Vec::new(),
    );
    assert!(!path(&dir, ".bearerd-tmp-1").exists());
    // Nothing is reported twice, and what was set aside is not overwritten by the next.
    fs::write(path(&dir, "cut.json"), "{}").unwrap();
    let again = load(&dir, &Sealer::None);
    assert_eq!((again.records.len(), again.warnings.len()), (1, 1));
    assert!(path(&dir, "cut.json.quarantined-1000000-1").exists());
    assert_eq!(
        fs::read(path(&dir, "cut.json.quarantined-1000000")).unwrap(),
        &good[..good.len() / 2]
    );
}

#[test]
fn errors_and_warnings_hold_no_secret() {
    let text = r#"{"version":1,"content":{"plain":{"name":"lev","generation":"CANARY"}}}"#;
    let dir = state_dir(&[("lev.json", text.as_bytes())]);
    let loaded = load(&dir, &Sealer::None);
    let shown = format!("{:?} {}", loaded.warnings, loaded.warnings[0]);
    assert!(!shown.contains("CANARY"), "{shown}");
    let shown = format!("{:?} {:?}", record(&name("lev"), 1), key(1));
    assert!(
        !shown.contains("refresh-1") && !shown.contains("set-aside"),
        "{shown}"
    );
}

#[test]
fn a_sealed_file_is_bound_to_its_token_and_key() {
    let sealed = bytes(&record(&name("one"), 1), &key(1));
    let one = name("one");
    let open = |name: &TokenName, sealer: &Sealer| decode(name, &sealed, sealer, &moment());
    assert!(open(&one, &key(1)).is_ok());
    let opened = |result: Result<Record, DecodeError>| result.unwrap_err();
    assert_eq!(
        opened(open(&name("two"), &key(1))),
        OpenError::Tampered.into()
    );
    assert_eq!(opened(open(&one, &key(2))), OpenError::OtherKey.into());
    assert_eq!(opened(open(&one, &Sealer::None)), OpenError::NoKey.into());
    // Random nonces: the same record never looks the same.
    assert_ne!(sealed, bytes(&record(&one, 1), &key(1)));
}

#[test]
fn the_key_is_a_systemd_credential() {
    let credentials = tempfile::tempdir().unwrap();
    let directory = credentials.path().to_str().unwrap();
    let environment = Environment::from([("CREDENTIALS_DIRECTORY", directory)]);
    assert!(matches!(
        Sealer::from_environment(&Environment::default()),
        Ok(Sealer::None)
    ));
    assert!(matches!(
        Sealer::from_environment(&environment),
        Ok(Sealer::None)
    ));
    let file = credentials.path().join("bearerd-state-key");
    fs::write(&file, [3; 31]).unwrap();
    let result = Sealer::from_environment(&environment);
    assert!(
        matches!(result, Err(SealerError::TooShort(31))),
        "{result:?}"
    );
    fs::write(&file, [3; 32]).unwrap();
    let sealer = Sealer::from_environment(&environment).unwrap();
    let sealed = bytes(&record(&name("lev"), 1), &key(3));
    assert!(decode(&name("lev"), &sealed, &sealer, &moment()).is_ok());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let result = Sealer::from_environment(&environment);
    assert!(
        matches!(result, Err(SealerError::Unreadable(_))),
        "{result:?}"
    );
}

/// Puts records one after the other, each alone, and ends.
fn write_with(dir: StateDir, sealer: Sealer, records: Vec<Record>) {
    let (writer, mut written) = StateWriter::spawn(dir, sealer, BootId::of_system()).unwrap();
    for (ticket, record) in (1..).zip(records) {
        writer.put(Box::new(record), ticket);
        let answer = written.blocking_recv().unwrap();
        assert_eq!(answer.ticket, ticket);
        answer.result.unwrap();
    }
}

#[test]
fn without_its_key_a_sealed_file_stays_and_is_set_aside_by_the_next_token() {
    for (sealer, cause) in [
        (Sealer::None, OpenError::NoKey),
        (key(2), OpenError::OtherKey),
    ] {
        let lev = name("lev");
        let sealed = bytes(&record(&lev, 1), &key(1));
        let dir = state_dir(&[("lev.json", &sealed)]);
        let mut opened = StateDir::open(dir.path()).unwrap();
        let loaded = opened.load_all(&sealer, &moment()).unwrap();
        let name = lev.clone();
        assert_eq!(loaded.warnings, [StateWarning::Unopened { name, cause }]);
        assert_eq!(files(&dir), ["lev.json"]);
        write_with(
            opened,
            sealer.clone(),
            vec![record(&lev, 2), record(&lev, 3)],
        );
        let now = files(&dir);
        assert_eq!(now.len(), 2, "{now:?}");
        assert!(now[1].starts_with("lev.json.quarantined-"), "{now:?}");
        assert_eq!(fs::read(path(&dir, &now[1])).unwrap(), sealed);
        assert_eq!(load(&dir, &sealer).records[0].generation, 3);
    }
}

#[test]
fn plain_files_are_sealed_once_there_is_a_key() {
    let lev = name("lev");
    let dir = state_dir(&[("lev.json", &bytes(&record(&lev, 1), &Sealer::None))]);
    let mut opened = StateDir::open(dir.path()).unwrap();
    let loaded = opened.load_all(&key(1), &moment()).unwrap();
    assert_eq!((loaded.records.len(), loaded.warnings.len()), (1, 0));
    write_with(opened, key(1), loaded.records);
    let text = fs::read_to_string(path(&dir, "lev.json")).unwrap();
    assert!(
        text.contains("sealed") && !text.contains("refresh-1"),
        "{text}"
    );
    assert_eq!(load(&dir, &key(1)).records[0].generation, 1);
}

#[test]
fn the_last_three_refresh_tokens_set_aside_are_kept() {
    let lev = name("lev");
    let mut kept = record(&lev, 1);
    for generation in 2..6 {
        kept.quarantine_refresh_token();
        assert!(kept.token.refresh_token.is_none() && kept.token.validity.refresh.is_none());
        // Without one, nothing moves.
        kept.quarantine_refresh_token();
        kept.token = record(&lev, generation).token;
    }
    let bytes = bytes(&kept, &key(1));
    let back = decode(&lev, &bytes, &key(1), &moment()).unwrap();
    let set_aside: Vec<_> = back
        .quarantined_refresh_tokens
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    assert_eq!(set_aside, ["refresh-2", "refresh-3", "refresh-4"]);
    assert_eq!(
        back.token.refresh_token.as_ref().unwrap().expose_secret(),
        "refresh-5"
    );
}

#[test]
fn the_directory_is_private_and_held_by_one() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("state");
    let tokens = dir.join("tokens");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let first = StateDir::open(&dir).unwrap();
    assert_eq!((mode(&dir), mode(&tokens)), (0o700, 0o700));
    let second = StateDir::open(&dir);
    assert!(matches!(second, Err(StateDirError::InUse(_))), "{second:?}");
    drop(first);

    set_mode(&tokens, 0o755);
    let mut opened = StateDir::open(&dir).unwrap();
    let warnings = opened.load_all(&Sealer::None, &moment()).unwrap().warnings;
    assert_eq!(warnings, [StateWarning::Tightened(0o755)]);
    assert_eq!(mode(&tokens), 0o700);
    drop(opened);

    // systemd makes it 0755 unless told otherwise; only writing matters here.
    set_mode(&dir, 0o755);
    drop(StateDir::open(&dir).unwrap());
    set_mode(&dir, 0o777);
    assert!(matches!(
        StateDir::open(&dir),
        Err(StateDirError::Unusable(_))
    ));
    set_mode(&dir, 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&tokens, Some(12345), None).unwrap();
        assert!(matches!(
            StateDir::open(&dir),
            Err(StateDirError::Unusable(_))
        ));
    }
}

#[test]
fn every_ticket_is_answered_and_the_newest_record_stays() {
    let dir = state_dir(&[]);
    let opened = StateDir::open(dir.path()).unwrap();
    let boot = BootId::of_system();
    let (writer, mut written) = StateWriter::spawn(opened, key(1), boot).unwrap();
    for ticket in 0..500 {
        writer.put(Box::new(record(&name("same"), ticket)), ticket);
        writer.put(Box::new(record(&name("gone"), ticket)), 1000 + ticket);
    }
    writer.remove(name("gone"), 2000);
    writer.remove(name("never-there"), 2001);
    // Without waiting for any: dropping writes them all.
    drop(writer);
    let mut tickets = Vec::new();
    while let Some(answer) = written.blocking_recv() {
        answer.result.unwrap();
        tickets.push(answer.ticket);
    }
    tickets.sort_unstable();
    assert_eq!(
        tickets,
        (0..500)
            .chain(1000..1500)
            .chain(2000..2002)
            .collect::<Vec<_>>()
    );
    assert_eq!(files(&dir), ["same.json"]);
    assert_eq!(load(&dir, &key(1)).records[0].generation, 499);
    assert_eq!(
        fs::metadata(path(&dir, "same.json")).unwrap().mode() & 0o7777,
        0o600
    );
}

#[test]
fn a_full_disk_is_answered_and_the_old_state_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"])
        .arg(dir.path())
        .output()
        .unwrap();
    if !mount.status.success() {
        println!("skipped: mount: {}", String::from_utf8_lossy(&mount.stderr));
        return;
    }
    let opened = StateDir::open(dir.path()).unwrap();
    let boot = BootId::of_system();
    let (writer, mut written) = StateWriter::spawn(opened, Sealer::None, boot).unwrap();
    let mut put = |generation| {
        writer.put(Box::new(record(&name("lev"), generation)), generation);
        written.blocking_recv().unwrap().result
    };
    put(1).unwrap();
    fs::write(dir.path().join("filler"), vec![0; 52 << 10]).unwrap();
    let _ = fs::write(dir.path().join("filler2"), vec![0; 52 << 10]);
    let error = put(2).unwrap_err();
    println!("{error:?}");
    assert_eq!(files(&dir), ["lev.json"]);
    fs::remove_file(dir.path().join("filler")).unwrap();
    put(3).unwrap();
    drop(writer);
    assert_eq!(load(&dir, &Sealer::None).records[0].generation, 3);
    assert!(
        Command::new("umount")
            .arg("-l")
            .arg(dir.path())
            .status()
            .unwrap()
            .success()
    );
}

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Notes a line of `child_writes_states`, "INDEX GENERATION"; `false` for any other.
fn note(line: &str, acknowledged: &mut [u64; NAMES.len()]) -> bool {
    let Some((index, generation)) = line.split_once(' ') else {
        return false;
    };
    match (index.parse::<usize>(), generation.parse()) {
        (Ok(index), Ok(generation)) => {
            acknowledged[index] = generation;
            true
        }
        _ => false,
    }
}

/// Lets a child write until it has told of `enough` commits, and kills it wherever it is by then.
fn write_and_be_killed(dir: &Path, mut enough: u64, acknowledged: &mut [u64; NAMES.len()]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "state::child_writes_states",
            "--ignored",
            "--nocapture",
        ])
        .env("STATE", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while enough > 0 {
        enough -= u64::from(note(&lines.next().unwrap().unwrap(), acknowledged));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said by then; the last line may be cut.
    let mut rest: Vec<_> = lines.map_while(Result::ok).collect();
    rest.pop();
    for line in rest {
        note(&line, acknowledged);
    }
}

#[test]
fn killed_at_any_instant_it_has_the_old_or_the_new() {
    // On a disk: its syncs leave more time to be killed in.
    let dir = tempfile::tempdir().unwrap();
    let temporary_files = || {
        files(&dir)
            .iter()
            .filter(|name| name.starts_with('.'))
            .count()
    };
    let mut acknowledged = [0_u64; NAMES.len()];
    let mut killed_at_work = 0;
    for round in 0..250_u64 {
        write_and_be_killed(dir.path(), 1 + round % 5, &mut acknowledged);
        killed_at_work += u64::from(temporary_files() > 0);
        let mut opened = StateDir::open(dir.path()).unwrap();
        let loaded = opened.load_all(&key(9), &present()).unwrap();
        assert_eq!(loaded.warnings, [], "round {round}");
        write_with(opened, key(9), Vec::new());
        assert_eq!(temporary_files(), 0);
        for (told, name) in acknowledged.iter_mut().zip(NAMES) {
            let found = loaded.records.iter().find(|r| r.name.as_str() == name);
            let generation = found.map_or(0, |record| record.generation);
            assert!(
                generation >= *told,
                "round {round}: {told} acknowledged, {generation} found"
            );
            if let Some(record) = found {
                let whole = access_token(&record.name, generation);
                assert_eq!(record.token.access_token.expose_secret(), whole);
            }
            *told = generation;
        }
    }
    println!("250 kills, {killed_at_work} with temporary files left; generations {acknowledged:?}");
    assert!(killed_at_work > 0);
}

#[test]
#[ignore = "run by killed_at_any_instant_it_has_the_old_or_the_new"]
fn child_writes_states() {
    let mut opened = StateDir::open(std::env::var("STATE").unwrap().as_ref()).unwrap();
    let loaded = opened.load_all(&key(9), &present()).unwrap();
    let mut generations = NAMES.map(|name| {
        let found = loaded.records.iter().find(|r| r.name.as_str() == name);
        found.map_or(0, |record| record.generation)
    });
    let boot = BootId::of_system();
    let (writer, mut written) = StateWriter::spawn(opened, key(9), boot).unwrap();
    let mut put = |index: usize| {
        generations[index] += 1;
        let ticket = u64::try_from(index).unwrap() << 32 | generations[index];
        writer.put(
            Box::new(record(&name(NAMES[index]), generations[index])),
            ticket,
        );
    };
    (0..NAMES.len()).for_each(&mut put);
    let mut out = std::io::stdout();
    while let Some(answer) = written.blocking_recv() {
        answer.result.unwrap();
        let index = usize::try_from(answer.ticket >> 32).unwrap();
        writeln!(out, "{index} {}", answer.ticket & 0xffff_ffff).unwrap();
        put(index);
    }
}

/// Prints commits a second; nothing is asserted about time.
#[test]
#[ignore = "a measurement: run it by name, with --nocapture"]
fn measure_commits() {
    for place in ["/var/tmp", "/dev/shm"] {
        let dir = tempfile::tempdir_in(place).unwrap();
        let opened = StateDir::open(dir.path()).unwrap();
        let boot = BootId::of_system();
        let (writer, mut written) = StateWriter::spawn(opened, key(1), boot).unwrap();
        let started = Stopwatch::now();
        for ticket in 0..1000 {
            writer.put(Box::new(record(&name("single"), ticket)), ticket);
            written.blocking_recv().unwrap().result.unwrap();
        }
        let single = 1000.0 / started.elapsed().as_secs_f64();
        for pass in ["new files", "replaced"] {
            let started = Stopwatch::now();
            for ticket in 0..10_000 {
                writer.put(Box::new(record(&name(&format!("t{ticket}")), 100)), ticket);
            }
            for _ in 0..10_000 {
                written.blocking_recv().unwrap().result.unwrap();
            }
            let took = started.elapsed();
            let batch = 10_000.0 / took.as_secs_f64();
            println!(
                "{place}: one at a time {single:.0}/s; 10000 at once {batch:.0}/s ({took:?}, {pass})"
            );
        }
        drop(writer);
        let started = Stopwatch::now();
        let count = StateDir::open(dir.path())
            .unwrap()
            .load_all(&key(1), &present())
            .unwrap();
        println!(
            "{place}: {} records loaded in {:?}",
            count.records.len(),
            started.elapsed()
        );
    }
}
