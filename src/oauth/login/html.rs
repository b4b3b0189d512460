//! The forms of a page, as far as a login needs them: tolerant, bounded, and pure.

/// A form.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Form {
    /// `id`.
    pub(super) id: String,
    /// `action`; the page's own address when empty.
    pub(super) action: String,
    /// Whether `method` is `post`.
    pub(super) post: bool,
    /// Its inputs, in order.
    pub(super) inputs: Vec<Input>,
}

/// An `input` that has a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) value: String,
    /// Sent although nobody fills it in.
    pub(super) hidden: bool,
}

/// The forms of a page, in order.
pub(super) fn forms(page: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end..]);
            continue;
        }
        let (tag, after) = tag(rest);
        rest = after;
        match tag.name.as_str() {
            "form" if forms.len() < MAX_FORMS => {
                open = true;
                forms.push(Form {
                    id: tag.attribute("id"),
                    action: tag.attribute("action"),
                    post: tag.attribute("method").eq_ignore_ascii_case("post"),
                    inputs: Vec::new(),
                });
            }
            "/form" => open = false,
            "input" if open => {
                if let Some(form) = forms.last_mut() {
                    form.inputs.extend(input(&tag));
                    form.inputs.truncate(MAX_INPUTS);
                }
            }
            // What looks like a tag in there is none.
            raw @ ("script" | "style" | "textarea" | "title") => {
                let end = format!("</{raw}");
                let found = find_ignoring_case(rest, &end);
                rest = found.map_or("", |at| &rest[at..]);
            }
            _ => {}
        }
    }
    forms
}

fn input(tag: &Tag) -> Option<Input> {
    let kind = tag.attribute("type").to_ascii_lowercase();
    let name = tag.attribute("name");
    let pressed = matches!(
        kind.as_str(),
        "button" | "checkbox" | "file" | "image" | "radio" | "reset" | "submit"
    );
    (!name.is_empty() && !pressed).then(|| Input {
        name,
        value: tag.attribute("value"),
        hidden: kind == "hidden",
    })
}

struct Tag {
    /// In lower case, with the slash of an end tag.
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// The first one of this name, decoded; else the empty text.
    fn attribute(&self, name: &str) -> String {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(found, _)| found == name);
        found.map_or(String::new(), |(_, value)| decode(value))
    }
}

/// Reads a tag behind its `<`, and returns what follows it.
fn tag(text: &str) -> (Tag, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
    let (name, mut rest) = text.split_at(end.unwrap_or(text.len()));
    let mut tag = Tag {
        name: name.trim_end_matches('/').to_ascii_lowercase(),
        attributes: Vec::new(),
    };
    if name == "/" {
        return (tag, rest);
    }
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, after);
        }
        if rest.is_empty() {
            return (tag, rest);
        }
        let ends = |c: char| c.is_ascii_whitespace() || "=/>".contains(c);
        let mut end = rest.char_indices().skip(1);
        let Some((end, _)) = end.find(|(_, c)| ends(*c)) else {
            return (tag, "");
        };
        let (name, after) = rest.split_at(end);
        let name = name.to_ascii_lowercase();
        rest = after.trim_start();
        let value = match rest.strip_prefix('=') {
            None => "",
            Some(after) => {
                let (value, after) = value(after.trim_start());
                rest = after;
                value
            }
        };
        if tag.attributes.len() < MAX_ATTRIBUTES {
            tag.attributes.push((name, value.to_owned()));
        }
    }
}

/// An attribute's value, and what follows it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
    text.split_at(end.unwrap_or(text.len()))
}

/// Resolves the character references that pages escape attributes with.
fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest[1..].split_once(';').map(|(reference, _)| reference);
        let found = reference
            .filter(|reference| reference.len() <= LONGEST_REFERENCE)
            .and_then(|reference| Some((character(reference)?, reference.len() + 2)));
        let (character, length) = found.unwrap_or(('&', 1));
        decoded.push(character);
        rest = &rest[length..];
    }
    decoded.push_str(rest);
    decoded
}

fn character(reference: &str) -> Option<char> {
    let number = match reference {
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "gt" => return Some('>'),
        "lt" => return Some('<'),
        "quot" => return Some('"'),
        _ => reference.strip_prefix('#')?,
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    code.ok().and_then(char::from_u32)
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let wanted = wanted.as_bytes();
    let mut windows = text.as_bytes().windows(wanted.len());
    windows.position(|window| window.eq_ignore_ascii_case(wanted))
}

const MAX_FORMS: usize = 20;
const MAX_INPUTS: usize = 200;
const MAX_ATTRIBUTES: usize = 50;
const LONGEST_REFERENCE: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(name: &str, value: &str, hidden: bool) -> Input {
        Input {
            name: name.into(),
            value: value.into(),
            hidden,
        }
    }

    #[test]
    fn the_form_of_keycloak() {
        let page = r#"<!DOCTYPE html><html><head><title>Sign in < here</title>
<script type="module">if (a<b) document.write("<form action='/evil'>");</script></head><body>
<!-- <form action="/old"> -->
<form id="kc-form-login" onsubmit="login.disabled = true; return true;"
 action="https://op.example/realms/r/login-actions/authenticate?session_code=a-b&amp;execution=1&amp;tab_id=x&#61;" method="post" novalidate="novalidate">
<input tabindex="2" id="username" name="username" value="" type="text" autocomplete="username" autofocus />
<input type='hidden' id="id-hidden-input" name=credentialId value=7>
<input type=checkbox name=rememberMe>
<INPUT NAME="login" TYPE="submit" VALUE="Sign In"/>
</form><input name="outside"></body>"#;
        let form = Form {
            id: "kc-form-login".into(),
            action: "https://op.example/realms/r/login-actions/authenticate?session_code=a-b&execution=1&tab_id=x=".into(),
            post: true,
            inputs: vec![input("username", "", false), input("credentialId", "7", true)],
        };
        assert_eq!(forms(page), [form]);
    }

    #[test]
    fn references() {
        for (text, decoded) in [
            ("a&amp;b", "a&b"),
            ("&lt;&gt;&quot;&apos;&#39;&#x2F;", "<>\"''/"),
            ("a&b=c", "a&b=c"),
            ("&nbsp;", "&nbsp;"),
            ("&#xD800;&#99999999999;", "&#xD800;&#99999999999;"),
            ("&", "&"),
            ("&;", "&;"),
            ("&amp;amp;", "&amp;"),
        ] {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn odd_pages() {
        for (page, count) in [
            ("", 0),
            ("<", 0),
            ("<form", 1),
            ("<form><form>", 2),
            ("<form action='x", 1),
            ("<script><form>", 0),
            ("<!-- <form>", 0),
            ("</ form><form>", 1),
            ("<form =x / y>", 1),
        ] {
            assert_eq!(forms(page).len(), count, "{page}");
        }
        assert_eq!(forms(&"<form>".repeat(1000)).len(), MAX_FORMS);
        let many = format!("<form>{}", "<input name=x>".repeat(1000));
        assert_eq!(forms(&many)[0].inputs.len(), MAX_INPUTS);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(page in r#"(<|>|"|'|=|/|&|#|;|form|input|script|!--|--|name| |é|x){0,60}"#) {
            forms(&page);
        }
    }
}
