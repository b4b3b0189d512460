use super::*;

fn authorization(redirect_uri: &str, issuer: Option<(&str, bool)>) -> Authorization {
    Authorization {
        url: String::new(),
        redirect_uri: redirect_uri.into(),
        state: "st-1".into(),
        code_verifier: "v".into(),
        nonce: None,
        issuer: issuer.map(|(issuer, required)| (issuer.into(), required)),
    }
}

/// RFC 7636 appendix B.
#[test]
fn the_challenge() {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(
        challenge(verifier),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    let random = random().unwrap();
    assert_eq!(random.len(), 43);
    assert_ne!(random, super::random().unwrap());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn codes_and_what_is_none() {
    use LoginError::{Issuer, NoCode, NotOurs, State};
    let not_ours = || NotOurs("https://example.org".into());
    let refused = |error: &str, description: Option<&str>| LoginError::Refused {
        error: error.into(),
        description: description.map(str::to_owned),
    };
    let table = [
        ("https://example.org/?code=c&state=st-1", Ok("c")),
        ("https://example.org?code=c&state=st-1", Ok("c")),
        (
            "  https://EXAMPLE.org:443/?state=st-1&code=a%2Fb%2B \n",
            Ok("a/b+"),
        ),
        ("?code=c&state=st-1", Ok("c")),
        ("code=c&state=st-1&session_state=x", Ok("c")),
        ("https://example.org/?code=c&state=st-1#frag", Ok("c")),
        ("https://example.org/?code=c&state=st-2", Err(State)),
        ("https://example.org/?code=c&state=", Err(State)),
        ("https://example.org/?code=c", Err(State)),
        (
            "https://example.org/?code=c&state=st-1&state=st-1",
            Err(NoCode),
        ),
        ("https://example.org/?code=c&code=d&state=st-1", Err(NoCode)),
        ("https://example.org/?code=&state=st-1", Err(NoCode)),
        ("https://example.org/?state=st-1", Err(NoCode)),
        ("https://example.org/x?code=c&state=st-1", Err(not_ours())),
        ("http://example.org/?code=c&state=st-1", Err(not_ours())),
        (
            "https://example.org:8443/?code=c&state=st-1",
            Err(not_ours()),
        ),
        (
            "https://example.org.evil/?code=c&state=st-1",
            Err(not_ours()),
        ),
        ("", Err(not_ours())),
        ("hello", Err(not_ours())),
        (
            "https://example.org/?code=c&state=st-1&iss=https%3A%2F%2Fop.example",
            Ok("c"),
        ),
        (
            "https://example.org/?code=c&state=st-1&iss=https%3A%2F%2Fop.example%2F",
            Err(Issuer),
        ),
        (
            "https://example.org/?error=access_denied&state=st-1",
            Err(refused("access_denied", None)),
        ),
        (
            "https://example.org/?error=x%0Ay&error_description=no%1B%5B2J+st-1&state=st-1",
            Err(refused("x y", Some("no [2J [redacted]"))),
        ),
        (
            "https://example.org/?error=access_denied&state=other",
            Err(State),
        ),
    ];
    let authorization = authorization("https://example.org", Some(("https://op.example", false)));
    for (address, expected) in table {
        let answer = authorization.answered(address);
        let code = answer.map(|redemption| {
            assert_eq!(redemption.redirect_uri, "https://example.org");
            redemption.code.expose_secret().to_owned()
        });
        assert_eq!(code, expected.map(str::to_owned), "{address}");
    }
}

#[test]
fn the_issuer_of_an_answer() {
    let with = "http://127.0.0.1:4711/?code=c&state=st-1&iss=https%3A%2F%2Fop.example";
    let without = "http://127.0.0.1:4711/?code=c&state=st-1";
    let op = "https://op.example";
    for (issuer, answer, good) in [
        (None, with, true),
        (None, without, true),
        (Some((op, false)), without, true),
        (Some((op, true)), without, false),
        (Some((op, true)), with, true),
        (Some(("https://other.example", false)), with, false),
    ] {
        let authorization = authorization("http://127.0.0.1:4711/", issuer);
        assert_eq!(
            authorization.answered(answer).is_ok(),
            good,
            "{issuer:?} {answer}"
        );
    }
}
