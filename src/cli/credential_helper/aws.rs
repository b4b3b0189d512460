//! AWS's `credential_process` (AWS SDKs and Tools Reference Guide, "Process credential provider").

use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use zeroize::Zeroizing;

use super::aws_sts;
use super::error::HelperError;
use super::question::ask;
use crate::api::code::EXIT_FRESH;
use crate::api::tokens::parse_duration;
use crate::cli::output;
use crate::config::Environment;

#[derive(Args, Debug)]
pub(super) struct AwsArgs {
    /// The token's name; AWS must know its issuer as an identity provider
    #[arg(long, value_name = "NAME", value_parser = TokenName::parse)]
    token: TokenName,
    /// The role to assume
    #[arg(long, value_name = "ARN")]
    role_arn: String,
    /// The session's name in AWS's logs [default: bearerd-NAME]
    #[arg(long, value_name = "NAME")]
    session_name: Option<String>,
    /// How long the keys shall be valid [default: AWS's, an hour]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// The region whose STS is asked [default: $AWS_REGION, $AWS_DEFAULT_REGION, else the global
    /// STS]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Another STS: an https URL, or http on this host
    #[arg(long, value_name = "URL", conflicts_with = "region")]
    endpoint: Option<String>,
}

/// Has STS give keys for the token, and prints them: AWS itself takes no tokens.
pub(super) fn run(args: &AwsArgs, socket: &Path) -> Result<u8, HelperError> {
    let endpoint = match &args.endpoint {
        Some(url) => aws_sts::endpoint(url)?,
        None => aws_sts::regional_endpoint(region(args).as_deref())?,
    };
    let token = ask(socket, &args.token)?;
    let session_name = args.session_name.clone().unwrap_or_else(|| {
        let mut name = format!("bearerd-{}", args.token);
        name.truncate(MAX_SESSION_NAME);
        name
    });
    let request = aws_sts::Request {
        role_arn: &args.role_arn,
        session_name: &session_name,
        token: &token.access_token,
        duration: args.duration,
    };
    let keys = aws_sts::assume_role(&endpoint, &request)?;
    let answer = json!({
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key.expose_secret(),
        "SessionToken": keys.session_token.expose_secret(),
        "Expiration": keys.expiration.to_string(),
    });
    let answer = Zeroizing::new(format!("{answer}\n"));
    output::write(answer.as_bytes())?;
    Ok(EXIT_FRESH)
}

fn region(args: &AwsArgs) -> Option<String> {
    let environment = Environment::of_process();
    let named = |name| environment.var(name).filter(|region| !region.is_empty());
    let default = || named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION"));
    args.region.clone().or_else(|| default().map(str::to_owned))
}

const MAX_SESSION_NAME: usize = 64;
