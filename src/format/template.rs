//! The `template` format.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, context};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::content::Content;
use super::error::FormatError;

/// Renders a template. The engine works on copies of the token that it does not wipe.
pub(super) fn render(
    path: &Path,
    text: &str,
    content: &Content<'_>,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    // The engine's own message quotes values, so only the kind of error is passed on.
    let failed = |e: Error| FormatError::Template {
        path: path.into(),
        line: e.line().unwrap_or_default(),
        kind: e.kind().to_string(),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Neither HTML nor JSON by the look of the file's name: `| tojson` where it is wanted.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(failed)?);
    let template = environment.template_from_str(text).map_err(failed)?;
    let token = content.token;
    let rendered = template.render(context! {
        access_token => token.access_token.expose_secret(),
        expires_at => content.expires_at_unix(),
        expires_in => content.expires_in(),
        generation => content.generation,
        name => content.name.as_str(),
        scope => token.scope.as_deref(),
        token_type => token.token_type.as_str(),
    });
    Ok(Zeroizing::new(rendered.map_err(failed)?.into_bytes()))
}
