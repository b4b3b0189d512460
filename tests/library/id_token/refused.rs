//! One row for each way to forge an ID token that has worked somewhere, and for each that never should.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{self, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use bearerd::config::SignatureAlg;
use bearerd::oauth::id_token::{IdTokenError, Part};
use serde_json::json;

use super::judge;
use super::provider::{
    ACCESS_TOKEN, By, CLIENT, ISSUER, NOW, PROVIDER, at_hash, b64, claiming, generate, headed,
    header, payload, rs256, rsa_jwk, sign, signature_of,
};

type Row = (&'static str, String, IdTokenError);

fn refuse(rows: Vec<Row>) {
    for (name, token, error) in rows {
        let shown = error.to_string();
        assert_eq!(judge(&token), Err(error), "{name}");
        assert!(shown.len() < 250 && !shown.contains(ACCESS_TOKEN), "{name}");
        assert!(
            shown.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{name}"
        );
    }
}

fn no_key(alg: SignatureAlg, kid: &str) -> IdTokenError {
    let kid = Some(kid.to_owned());
    IdTokenError::NoKey { alg, kid }
}

fn algorithm(name: &str) -> IdTokenError {
    IdTokenError::Algorithm(name.into())
}

fn es256(by: By<'_>) -> String {
    sign(&header("ES256", "p256", &[]), &payload(&[]), by)
}

#[test]
fn algorithms() {
    let key = PROVIDER.rsa.public_key();
    let spki: PublicKeyX509Der<'_> = key.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(spki.as_ref())
    );
    let jwk = rsa_jwk(&PROVIDER.rsa).to_string();
    let n = rsa_jwk(&PROVIDER.rsa)["n"].as_str().unwrap().to_owned();
    let hs256 =
        |kid, secret: &[u8]| sign(&header("HS256", kid, &[]), &payload(&[]), By::Hmac(secret));
    let none = |alg: &str| sign(&header(alg, "rsa", &[]), &payload(&[]), By::Raw(&[]));
    let named = |alg: &str| rs256(&header(alg, "rsa", &[]), &payload(&[]));
    let mut rows = vec![
        (
            "HS256 with the PEM",
            hs256("rsa", pem.as_bytes()),
            algorithm("HS256"),
        ),
        (
            "HS256 with the PEM, trimmed",
            hs256("rsa", pem.trim().as_bytes()),
            algorithm("HS256"),
        ),
        (
            "HS256 with the SPKI",
            hs256("rsa", spki.as_ref()),
            algorithm("HS256"),
        ),
        (
            "HS256 with the PKCS#1",
            hs256("rsa", key.as_ref()),
            algorithm("HS256"),
        ),
        (
            "HS256 with the JWK",
            hs256("rsa", jwk.as_bytes()),
            algorithm("HS256"),
        ),
        (
            "HS256 with the modulus",
            hs256("rsa", n.as_bytes()),
            algorithm("HS256"),
        ),
        (
            "HS256 with no secret",
            hs256("rsa", b""),
            algorithm("HS256"),
        ),
        (
            "HS256 with a shared key of the set",
            hs256("oct", b"secret"),
            algorithm("HS256"),
        ),
        ("none, still signed", named("none"), algorithm("none")),
        ("lower case", named("rs256"), algorithm("rs256")),
        ("trailing space", named("RS256 "), algorithm("RS256")),
        ("unknown", named("XS999"), algorithm("XS999")),
        ("Ed448", named("Ed448"), algorithm("Ed448")),
        ("secp256k1", named("ES256K"), algorithm("ES256K")),
        ("an encryption", named("RSA-OAEP"), algorithm("RSA-OAEP")),
        (
            "very long",
            named(&"X".repeat(5000)),
            algorithm(&"X".repeat(100)),
        ),
        (
            "control characters",
            headed(&[("alg", "\"a\\u0000\\n\\\"b\"")]),
            algorithm("ab"),
        ),
        (
            "no alg",
            headed(&[("alg", "")]),
            IdTokenError::Header("alg"),
        ),
        (
            "null",
            headed(&[("alg", "null")]),
            IdTokenError::Header("alg"),
        ),
        (
            "a list",
            headed(&[("alg", "[\"RS256\"]")]),
            IdTokenError::Header("alg"),
        ),
    ];
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        rows.push(("none", none(alg), algorithm(alg)));
    }
    refuse(rows);
}

#[test]
fn keys() {
    let rs = SignatureAlg::RS256;
    let of = |kid: &str| rs256(&header("RS256", kid, &[]), &payload(&[]));
    let long = "k".repeat(10_000);
    let by_p256 = |alg, kid| {
        sign(
            &header(alg, kid, &[]),
            &payload(&[]),
            By::Ec(&PROVIDER.p256),
        )
    };
    let pss = |kid| {
        let by = By::Rsa(&PROVIDER.rsa, &RSA_PSS_SHA256);
        sign(&header("PS256", kid, &[]), &payload(&[]), by)
    };
    refuse(vec![
        (
            "a path",
            of("../../../../dev/null"),
            no_key(rs, "../../../../dev/null"),
        ),
        (
            "SQL",
            of("x' UNION SELECT 'key'--"),
            no_key(rs, "x'UNIONSELECT'key'--"),
        ),
        ("a command", of("|id;"), no_key(rs, "|id;")),
        ("very long", of(&long), no_key(rs, &long[..100])),
        ("empty", of(""), no_key(rs, "")),
        ("another case", of("RSA"), no_key(rs, "RSA")),
        (
            "a number",
            headed(&[("kid", "7")]),
            IdTokenError::Header("kid"),
        ),
        (
            "null",
            headed(&[("kid", "null")]),
            IdTokenError::Header("kid"),
        ),
        (
            "missing, several keys fit",
            headed(&[("kid", "")]),
            IdTokenError::AmbiguousKey,
        ),
        ("twice in the set", of("twin"), IdTokenError::AmbiguousKey),
        ("for encryption", of("enc"), no_key(rs, "enc")),
        ("for encryption by key_ops", of("ops"), no_key(rs, "ops")),
        (
            "for encryption by use, to verify by key_ops",
            of("both"),
            no_key(rs, "both"),
        ),
        (
            "for another algorithm",
            of("ps384 only"),
            no_key(rs, "ps384only"),
        ),
        (
            "for another hash",
            pss("ps384 only"),
            no_key(SignatureAlg::PS256, "ps384only"),
        ),
        ("for OAEP", of("oaep"), no_key(rs, "oaep")),
        ("use is an array", of("array use"), no_key(rs, "arrayuse")),
        ("1024 bits", of("short"), no_key(rs, "short")),
        ("2047 bits", of("2047"), no_key(rs, "2047")),
        ("16384 bits", of("huge"), no_key(rs, "huge")),
        ("no modulus", of("zero"), no_key(rs, "zero")),
        ("exponent 1", of("e1"), no_key(rs, "e1")),
        ("even exponent", of("e even"), no_key(rs, "eeven")),
        ("exponent 0", of("e zero"), no_key(rs, "ezero")),
        ("long exponent", of("e long"), no_key(rs, "elong")),
        (
            "RS256 by an EC key",
            by_p256("RS256", "p256"),
            no_key(rs, "p256"),
        ),
        (
            "ES256 by an RSA key",
            by_p256("ES256", "rsa"),
            no_key(SignatureAlg::ES256, "rsa"),
        ),
        (
            "EdDSA by an EC key",
            by_p256("EdDSA", "p256"),
            no_key(SignatureAlg::EdDSA, "p256"),
        ),
        (
            "curve mismatch",
            by_p256("ES384", "p256"),
            no_key(SignatureAlg::ES384, "p256"),
        ),
        (
            "curve mismatch upwards",
            by_p256("ES256", "p384"),
            no_key(SignatureAlg::ES256, "p384"),
        ),
        (
            "not on the curve",
            by_p256("ES256", "off the curve"),
            no_key(SignatureAlg::ES256, "offthecurve"),
        ),
        (
            "long coordinate",
            by_p256("ES256", "long"),
            no_key(SignatureAlg::ES256, "long"),
        ),
        (
            "coordinates one byte apart",
            by_p256("ES256", "shifted"),
            no_key(SignatureAlg::ES256, "shifted"),
        ),
        (
            "short for its curve",
            by_p256("ES384", "wrong curve"),
            no_key(SignatureAlg::ES384, "wrongcurve"),
        ),
        (
            "another curve's",
            by_p256("ES256", "k1"),
            no_key(SignatureAlg::ES256, "k1"),
        ),
        (
            "Ed448",
            sign(
                &header("EdDSA", "ed448", &[]),
                &payload(&[]),
                By::Ed(&PROVIDER.ed25519),
            ),
            no_key(SignatureAlg::EdDSA, "ed448"),
        ),
        (
            "X25519",
            sign(
                &header("EdDSA", "x25519", &[]),
                &payload(&[]),
                By::Ed(&PROVIDER.ed25519),
            ),
            no_key(SignatureAlg::EdDSA, "x25519"),
        ),
        (
            "short Ed25519",
            sign(
                &header("EdDSA", "ed short", &[]),
                &payload(&[]),
                By::Ed(&PROVIDER.ed25519),
            ),
            no_key(SignatureAlg::EdDSA, "edshort"),
        ),
    ]);
}

#[test]
fn headers() {
    let own = rsa_jwk(&PROVIDER.stranger).to_string();
    let by_stranger = |changes| {
        let by = By::Rsa(&PROVIDER.stranger, &RSA_PKCS1_SHA256);
        sign(&header("RS256", "rsa", changes), &payload(&[]), by)
    };
    let typ = |typ: &str| IdTokenError::Type(typ.into());
    refuse(vec![
        (
            "signed by a stranger",
            by_stranger(&[]),
            IdTokenError::Signature,
        ),
        (
            "the stranger's jwk",
            by_stranger(&[("jwk", &own)]),
            IdTokenError::Signature,
        ),
        (
            "the stranger's jku",
            by_stranger(&[("jku", "\"http://127.0.0.1:1/jwks\"")]),
            IdTokenError::Signature,
        ),
        (
            "the stranger's x5u",
            by_stranger(&[("x5u", "\"http://127.0.0.1:1/pem\"")]),
            IdTokenError::Signature,
        ),
        (
            "the stranger's x5c",
            by_stranger(&[("x5c", "[\"MIIB\"]")]),
            IdTokenError::Signature,
        ),
        (
            "the stranger's jwk and no kid",
            sign(
                &header("RS256", "", &[("kid", ""), ("jwk", &own)]),
                &payload(&[]),
                By::Rsa(&PROVIDER.stranger, &RSA_PKCS1_SHA256),
            ),
            IdTokenError::AmbiguousKey,
        ),
        (
            "crit",
            headed(&[("crit", "[\"exp\"]"), ("exp", "1")]),
            IdTokenError::Extension("crit"),
        ),
        (
            "crit, empty",
            headed(&[("crit", "[]")]),
            IdTokenError::Extension("crit"),
        ),
        (
            "crit, null",
            headed(&[("crit", "null")]),
            IdTokenError::Extension("crit"),
        ),
        (
            "b64",
            headed(&[("b64", "false"), ("crit", "[\"b64\"]")]),
            IdTokenError::Extension("crit"),
        ),
        (
            "b64 alone",
            headed(&[("b64", "false")]),
            IdTokenError::Extension("b64"),
        ),
        (
            "an access token",
            headed(&[("typ", "\"at+jwt\"")]),
            typ("at+jwt"),
        ),
        (
            "a logout token",
            headed(&[("typ", "\"logout+jwt\"")]),
            typ("logout+jwt"),
        ),
        (
            "an assertion",
            headed(&[("typ", "\"application/client-authentication+jwt\"")]),
            typ("application/client-authentication+jwt"),
        ),
        (
            "a proof of possession",
            headed(&[("typ", "\"dpop+jwt\"")]),
            typ("dpop+jwt"),
        ),
        (
            "typ is a number",
            headed(&[("typ", "1")]),
            IdTokenError::Header("typ"),
        ),
        (
            "alg twice",
            headed(&[("+alg", "\"none\"")]),
            IdTokenError::Duplicate(Part::Header),
        ),
        (
            "alg twice, escaped",
            headed(&[("+\\u0061lg", "\"none\"")]),
            IdTokenError::Duplicate(Part::Header),
        ),
        (
            "kid twice",
            headed(&[("+kid", "\"rsa\"")]),
            IdTokenError::Duplicate(Part::Header),
        ),
        (
            "deep inside, twice",
            headed(&[("jwk", "[{\"a\":{\"k\":1,\"k\":1}}]")]),
            IdTokenError::Duplicate(Part::Header),
        ),
        (
            "a list",
            rs256("[]", &payload(&[])),
            IdTokenError::NotAnObject(Part::Header),
        ),
        (
            "empty",
            rs256("", &payload(&[])),
            IdTokenError::NotAnObject(Part::Header),
        ),
        (
            "something after it",
            rs256(&format!("{}x", header("RS256", "rsa", &[])), &payload(&[])),
            IdTokenError::NotAnObject(Part::Header),
        ),
        (
            "a byte order mark",
            rs256(
                &format!("\u{feff}{}", header("RS256", "rsa", &[])),
                &payload(&[]),
            ),
            IdTokenError::NotAnObject(Part::Header),
        ),
        (
            "a comment",
            rs256("{/**/\"alg\":\"RS256\"}", &payload(&[])),
            IdTokenError::NotAnObject(Part::Header),
        ),
        (
            "deep nesting",
            headed(&[(
                "x",
                &format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)),
            )]),
            IdTokenError::NotAnObject(Part::Header),
        ),
    ]);
}

#[test]
fn signatures() {
    let good = claiming(&[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let other = claiming(&[("sub", "\"other\"")]);
    let (_, of_other) = other.rsplit_once('.').unwrap();
    let with = |signature: &str| format!("{signed}.{signature}");
    let ecdsa = |signature: &[u8]| es256(By::Raw(signature));
    let signed_es256 = es256(By::Raw(&[])).trim_end_matches('.').to_owned();
    let der = signature::EcdsaKeyPair::from_private_key_der(
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        PROVIDER.p256.to_pkcs8v1().unwrap().as_ref(),
    );
    let der = der.unwrap();
    let in_der = der.sign(
        &aws_lc_rs::rand::SystemRandom::new(),
        signed_es256.as_bytes(),
    );
    let stranger = generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let wrong = IdTokenError::Signature;
    let rsa_as = |alg, encoding| {
        sign(
            &header(alg, "rsa", &[]),
            &payload(&[]),
            By::Rsa(&PROVIDER.rsa, encoding),
        )
    };
    refuse(vec![
        ("stripped", with(""), wrong.clone()),
        ("truncated", with(&b64(&bytes[..252])), wrong.clone()),
        (
            "lengthened",
            with(&format!("{signature}AAAA")),
            wrong.clone(),
        ),
        ("of another token", with(of_other), wrong.clone()),
        ("all zero", with(&b64([0; 256])), wrong.clone()),
        (
            "one",
            with(&b64([&[0; 255], [1].as_slice()].concat())),
            wrong.clone(),
        ),
        (
            "PSS for PKCS#1",
            rsa_as("RS256", &RSA_PSS_SHA256),
            wrong.clone(),
        ),
        (
            "PKCS#1 for PSS",
            rsa_as("PS256", &RSA_PKCS1_SHA256),
            wrong.clone(),
        ),
        (
            "another hash",
            rsa_as("RS512", &RSA_PKCS1_SHA256),
            wrong.clone(),
        ),
        ("psychic", ecdsa(&[0; 64]), wrong.clone()),
        (
            "(1, 0)",
            ecdsa(&[&[0; 31], [1].as_slice(), &[0; 32]].concat()),
            wrong.clone(),
        ),
        ("(n, n)", ecdsa(&[order, order].concat()), wrong.clone()),
        ("ECDSA, empty", ecdsa(&[]), wrong.clone()),
        (
            "ECDSA in DER",
            ecdsa(in_der.unwrap().as_ref()),
            wrong.clone(),
        ),
        (
            "ECDSA of a stranger",
            es256(By::Ec(&stranger)),
            wrong.clone(),
        ),
        (
            "ES512, psychic",
            sign(
                &header("ES512", "p521", &[]),
                &payload(&[]),
                By::Raw(&[0; 132]),
            ),
            wrong.clone(),
        ),
        (
            "EdDSA, all zero",
            sign(
                &header("EdDSA", "ed25519", &[]),
                &payload(&[]),
                By::Raw(&[0; 64]),
            ),
            wrong.clone(),
        ),
        (
            "other claims under it",
            format!(
                "{}.{}.{signature}",
                b64(header("RS256", "rsa", &[])),
                b64(payload(&[("sub", "\"root\"")]))
            ),
            wrong.clone(),
        ),
    ]);
}

#[test]
fn spellings() {
    let good = claiming(&[]);
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    let padded = |text: &str, pad: &str| format!("{text}{pad}");
    // 256 bytes leave four bits of the last character unused: they must be zero.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet
        .chars()
        .nth(alphabet.find(last).unwrap() + 1)
        .unwrap();
    let noncanonical = format!("{}{next}", &signature[..signature.len() - 1]);
    let encoding = IdTokenError::Encoding;
    let big = format!("\"{}\"", "x".repeat(70_000));
    // signed over the padded text, so that only its spelling is wrong
    let rsa = By::Rsa(&PROVIDER.rsa, &RSA_PKCS1_SHA256);
    let long_head = URL_SAFE.encode(header("RS256", "rsa", &[("x", "\"a\"")]));
    let long_head = padded(long_head.trim_end_matches('='), "=");
    let over_padding = format!("{long_head}.{claims}");
    let over_padding = format!("{over_padding}.{}", signature_of(&over_padding, rsa));
    refuse(vec![
        ("nothing", String::new(), IdTokenError::NotThreeParts),
        ("one part", head.to_owned(), IdTokenError::NotThreeParts),
        (
            "two parts",
            format!("{head}.{claims}"),
            IdTokenError::NotThreeParts,
        ),
        (
            "four parts",
            format!("{good}."),
            IdTokenError::NotThreeParts,
        ),
        (
            "five parts, as a JWE has",
            format!("{good}.AAAA.AAAA"),
            IdTokenError::NotThreeParts,
        ),
        (
            "the JSON form",
            json!({"protected": head, "payload": claims, "signature": signature}).to_string(),
            IdTokenError::NotThreeParts,
        ),
        (
            "padded signature",
            padded(&good, "=="),
            encoding(Part::Signature),
        ),
        ("padded header", over_padding, encoding(Part::Header)),
        (
            "padded payload",
            format!("{head}.{claims}=.{signature}"),
            encoding(Part::Payload),
        ),
        (
            "trailing line feed",
            padded(&good, "\n"),
            encoding(Part::Signature),
        ),
        ("leading space", format!(" {good}"), encoding(Part::Header)),
        (
            "a space inside",
            format!("{head}.{} {}.{signature}", &claims[..4], &claims[4..]),
            encoding(Part::Payload),
        ),
        (
            "the other alphabet",
            format!(
                "{head}.{claims}.{}",
                STANDARD.encode([0xff; 256]).trim_end_matches('=')
            ),
            encoding(Part::Signature),
        ),
        (
            "stray bits",
            format!("{head}.{claims}.{noncanonical}"),
            encoding(Part::Signature),
        ),
        (
            "not ASCII",
            format!("{head}.{claims}é.{signature}"),
            encoding(Part::Payload),
        ),
        ("a NUL", padded(&good, "\0"), encoding(Part::Signature)),
        (
            "too large",
            claiming(&[("x", &big)]),
            IdTokenError::TooLarge,
        ),
        (
            "only dots, too many",
            ".".repeat(65_537),
            IdTokenError::TooLarge,
        ),
    ]);
}

#[test]
fn parties() {
    let iss = |iss: &str| claiming(&[("iss", &format!("\"{iss}\""))]);
    let issuer = |iss: &str| IdTokenError::Issuer(iss.into());
    let both = format!("[\"{CLIENT}\",\"api\"]");
    let azp = format!("\"{CLIENT}\"");
    refuse(vec![
        (
            "trailing slash",
            iss("https://op.example/realm/"),
            issuer("https://op.example/realm/"),
        ),
        (
            "upper case",
            iss("https://OP.example/realm"),
            issuer("https://OP.example/realm"),
        ),
        (
            "user info",
            iss("https://op.example@evil.example/realm"),
            issuer("https://op.example@evil.example/realm"),
        ),
        (
            "default port",
            iss("https://op.example:443/realm"),
            issuer("https://op.example:443/realm"),
        ),
        (
            "only http",
            iss("http://op.example/realm"),
            issuer("http://op.example/realm"),
        ),
        (
            "prefix",
            iss("https://op.example"),
            issuer("https://op.example"),
        ),
        (
            "control characters",
            iss("https://\\u0007\\u001b[2Jevil"),
            issuer("https://[2Jevil"),
        ),
        (
            "a list",
            claiming(&[("iss", &format!("[\"{ISSUER}\"]"))]),
            IdTokenError::Claim("iss"),
        ),
        (
            "no iss",
            claiming(&[("iss", "")]),
            IdTokenError::Missing("iss"),
        ),
        (
            "iss twice",
            claiming(&[("+iss", "\"https://evil.example\"")]),
            IdTokenError::Duplicate(Part::Payload),
        ),
        (
            "no aud",
            claiming(&[("aud", "")]),
            IdTokenError::Missing("aud"),
        ),
        (
            "another aud",
            claiming(&[("aud", "\"other\"")]),
            IdTokenError::Audience,
        ),
        (
            "a longer aud",
            claiming(&[("aud", &format!("\"{CLIENT}x\""))]),
            IdTokenError::Audience,
        ),
        (
            "aud in a sentence",
            claiming(&[("aud", &format!("\"api {CLIENT}\""))]),
            IdTokenError::Audience,
        ),
        (
            "empty aud",
            claiming(&[("aud", "[]")]),
            IdTokenError::Audience,
        ),
        (
            "other auds",
            claiming(&[("aud", "[\"a\",\"b\"]"), ("azp", &azp)]),
            IdTokenError::Audience,
        ),
        (
            "aud of numbers",
            claiming(&[("aud", &format!("[\"{CLIENT}\",1]"))]),
            IdTokenError::Claim("aud"),
        ),
        (
            "aud an object",
            claiming(&[("aud", &format!("{{\"{CLIENT}\":1}}"))]),
            IdTokenError::Claim("aud"),
        ),
        (
            "two auds, no azp",
            claiming(&[("aud", &both)]),
            IdTokenError::AuthorizedParty,
        ),
        (
            "two auds, another azp",
            claiming(&[("aud", &both), ("azp", "\"api\"")]),
            IdTokenError::AuthorizedParty,
        ),
        (
            "one aud, another azp",
            claiming(&[("azp", "\"api\"")]),
            IdTokenError::AuthorizedParty,
        ),
        (
            "azp a list",
            claiming(&[("azp", &format!("[\"{CLIENT}\"]"))]),
            IdTokenError::Claim("azp"),
        ),
        (
            "no sub",
            claiming(&[("sub", "")]),
            IdTokenError::Missing("sub"),
        ),
        (
            "empty sub",
            claiming(&[("sub", "\"\"")]),
            IdTokenError::Claim("sub"),
        ),
        (
            "sub a number",
            claiming(&[("sub", "248289761001")]),
            IdTokenError::Claim("sub"),
        ),
        (
            "sub null",
            claiming(&[("sub", "null")]),
            IdTokenError::Missing("sub"),
        ),
        (
            "long sub",
            claiming(&[("sub", &format!("\"{}\"", "s".repeat(256)))]),
            IdTokenError::Claim("sub"),
        ),
        (
            "no object",
            rs256(&header("RS256", "rsa", &[]), "\"claims\""),
            IdTokenError::NotAnObject(Part::Payload),
        ),
        (
            "no JSON",
            rs256(&header("RS256", "rsa", &[]), "iss=x"),
            IdTokenError::NotAnObject(Part::Payload),
        ),
        (
            "a nested token",
            rs256(&header("RS256", "rsa", &[]), &claiming(&[])),
            IdTokenError::NotAnObject(Part::Payload),
        ),
    ]);
}

#[test]
fn times() {
    let at = |name: &'static str, value: &str| claiming(&[(name, value)]);
    let from_now = |name: &'static str, seconds: i64| {
        at(name, &(i64::try_from(NOW).unwrap() + seconds).to_string())
    };
    let exp = IdTokenError::Claim("exp");
    refuse(vec![
        ("no exp", at("exp", ""), IdTokenError::Missing("exp")),
        ("exp null", at("exp", "null"), IdTokenError::Missing("exp")),
        (
            "exp a string",
            at("exp", &format!("\"{}\"", NOW + 300)),
            exp.clone(),
        ),
        (
            "exp a list",
            at("exp", &format!("[{}]", NOW + 300)),
            exp.clone(),
        ),
        ("exp true", at("exp", "true"), exp.clone()),
        ("exp negative", at("exp", "-1"), exp.clone()),
        ("exp huge", at("exp", "1e300"), exp.clone()),
        (
            "exp beyond 64 bits",
            at("exp", "99999999999999999999999"),
            exp.clone(),
        ),
        (
            "exp in milliseconds",
            at("exp", &format!("{}000", NOW + 300)),
            exp,
        ),
        (
            "exp beyond floats",
            at("exp", "1e999"),
            IdTokenError::NotAnObject(Part::Payload),
        ),
        (
            "exp twice",
            at("+exp", "9999999999"),
            IdTokenError::Duplicate(Part::Payload),
        ),
        ("exp at 0", at("exp", "0"), IdTokenError::Expired),
        ("just expired", from_now("exp", -60), IdTokenError::Expired),
        ("no iat", at("iat", ""), IdTokenError::Missing("iat")),
        (
            "iat a string",
            at("iat", &format!("\"{NOW}\"")),
            IdTokenError::Claim("iat"),
        ),
        (
            "iat far ahead",
            from_now("iat", 61),
            IdTokenError::IssuedInFuture,
        ),
        ("iat long ago", from_now("iat", -661), IdTokenError::Stale),
        ("iat at 0", at("iat", "0"), IdTokenError::Stale),
        (
            "nbf far ahead",
            from_now("nbf", 61),
            IdTokenError::NotYetValid,
        ),
        (
            "nbf a string",
            at("nbf", "\"0\""),
            IdTokenError::Claim("nbf"),
        ),
        (
            "auth_time a string",
            at("auth_time", "\"0\""),
            IdTokenError::Claim("auth_time"),
        ),
    ]);
}

#[test]
fn bindings() {
    let of = |value: &str| claiming(&[("at_hash", &format!("\"{value}\""))]);
    let hash = digest::digest(&digest::SHA256, ACCESS_TOKEN.as_bytes());
    let other = digest::digest(&digest::SHA256, b"another");
    let wrong = IdTokenError::AccessTokenHash;
    refuse(vec![
        (
            "no nonce",
            claiming(&[("nonce", "")]),
            IdTokenError::Missing("nonce"),
        ),
        (
            "another nonce",
            claiming(&[("nonce", "\"replayed\"")]),
            IdTokenError::Nonce,
        ),
        (
            "empty nonce",
            claiming(&[("nonce", "\"\"")]),
            IdTokenError::Nonce,
        ),
        (
            "nonce null",
            claiming(&[("nonce", "null")]),
            IdTokenError::Missing("nonce"),
        ),
        (
            "nonce twice",
            claiming(&[("+nonce", "\"replayed\"")]),
            IdTokenError::Duplicate(Part::Payload),
        ),
        (
            "of another token",
            of(&b64(&other.as_ref()[..16])),
            wrong.clone(),
        ),
        (
            "of another hash",
            of(&at_hash(&digest::SHA512)),
            wrong.clone(),
        ),
        ("not halved", of(&b64(hash)), wrong.clone()),
        (
            "the right half",
            of(&b64(&hash.as_ref()[16..])),
            wrong.clone(),
        ),
        (
            "padded",
            of(&format!("{}==", at_hash(&digest::SHA256))),
            wrong.clone(),
        ),
        ("empty", of(""), wrong),
        (
            "a number",
            claiming(&[("at_hash", "1")]),
            IdTokenError::Claim("at_hash"),
        ),
    ]);
}
