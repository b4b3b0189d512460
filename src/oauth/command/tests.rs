use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);

/// The token and the seconds that it lives.
fn understood(output: &str) -> Result<(String, u64), ReplyProblem> {
    let request = Request {
        sent_at: bearerd_core::instant::Instant::BOOT,
        unix_now: NOW,
        assume_lifetime: Some(Duration::from_secs(7)),
        refresh_token: None,
        secrets: &[],
    };
    let members = members(output.as_bytes())?.expect("no failure");
    let token = token_response::granted(members, &request)?.token;
    let lifetime = token.validity.expires_at - token.validity.obtained_at;
    let text = token.access_token.expose_secret().to_owned();
    Ok((text, lifetime.as_secs()))
}

#[test]
fn what_programs_print() {
    let aws = r#"{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"s","SessionToken":"t","Expiration":"2023-11-14T22:14:20Z"}"#;
    let spaced = aws.replace(",", ", ").replace("{", "{\n  ");
    for (output, token, lifetime) in [
        ("tok-1", "tok-1", 7),
        ("  tok-1\r\n", "tok-1", 7),
        (r#"{"access_token":"tok-2","expires_in":"60"}"#, "tok-2", 60),
        // Azure: az account get-access-token
        (
            r#"{"accessToken":"tok-3","expiresOn":"2023-11-14 23:13:20.000000","expires_on":1700000090,"tokenType":"Bearer"}"#,
            "tok-3",
            90,
        ),
        // Kubernetes: aws eks get-token
        (
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{},"status":{"expirationTimestamp":"2023-11-14T22:15:00Z","token":"k8s-aws-v1.x"}}"#,
            "k8s-aws-v1.x",
            100,
        ),
        // Google: executable-sourced credentials
        (
            r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"tok-4","expiration_time":1700000050}"#,
            "tok-4",
            50,
        ),
        (
            r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"tok-5","expiration_time":1700000050}"#,
            "tok-5",
            50,
        ),
    ] {
        let (found, lives) = understood(output).unwrap();
        assert_eq!((&*found, lives), (token, lifetime), "{output}");
    }
    let (whole, lives) = understood(&spaced).unwrap();
    assert_eq!(lives, 60);
    let value: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(value, serde_json::from_str::<Value>(aws).unwrap());
}

#[test]
fn what_is_no_token() {
    for (output, problem) in [
        ("", ReplyProblem::Empty),
        (" \n", ReplyProblem::Empty),
        ("two words", ReplyProblem::AccessTokenCharacters),
        ("two\nlines", ReplyProblem::AccessTokenCharacters),
        ("{", ReplyProblem::NotAnObject),
        ("{}", ReplyProblem::NoAccessToken),
        (r#"{"status":{}}"#, ReplyProblem::NoAccessToken),
        (r#"{"access_token":""}"#, ReplyProblem::NoAccessToken),
        (
            r#"{"access_token":"x","token_type":"DPoP"}"#,
            ReplyProblem::TokenType,
        ),
    ] {
        assert_eq!(understood(output).unwrap_err(), problem, "{output}");
    }
    assert_eq!(members(b"\xff"), Err(ReplyProblem::NoKnownFormat));
    let failure = br#"{"version":1,"success":false,"code":"401","message":"secret"}"#;
    assert_eq!(members(failure), Ok(None));
}
