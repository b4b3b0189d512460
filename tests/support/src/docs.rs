//! What `docs/consumers.md` tells its readers to write.

/// The code block so many blocks of its language after a heading; without a heading, from the beginning.
pub fn snippet(heading: &str, language: &str, number: usize) -> String {
    let blocks = blocks(heading).into_iter();
    let mut of_language = blocks.filter(|(own, _)| *own == language);
    let found = of_language.nth(number);
    let (_, text) = found.unwrap_or_else(|| panic!("{heading}: no block {number} of {language}"));
    format!("{text}\n")
}

/// The code blocks after a heading, each with its language.
pub fn blocks(heading: &str) -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../../../docs/consumers.md");
    let mut sections = page.split("\n## ");
    let section = match heading {
        "" => sections.next(),
        _ => sections.find(|section| section.lines().next() == Some(heading)),
    };
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').unwrap())
        .collect()
}

/// Every heading.
pub fn headings() -> impl Iterator<Item = &'static str> {
    let page = include_str!("../../../docs/consumers.md");
    page.lines().filter_map(|line| line.strip_prefix("## "))
}
