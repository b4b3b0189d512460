//! What `docs/consumers.md` tells its readers to write.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

/// The code block so many blocks of its language after a heading; without a heading, from the beginning.
pub fn snippet(heading: &str, language: &str, number: usize) -> String {
    let page = include_str!("../../docs/consumers.md");
    let section = match heading {
        "" => page.split("\n## ").next().unwrap(),
        _ => {
            let start = format!("{heading}\n");
            let mut sections = page.split("\n## ").skip(1);
            let section = sections.find(|section| section.starts_with(&start));
            section.unwrap_or_else(|| panic!("no section {heading}"))
        }
    };
    let blocks = section.split("\n```").skip(1).step_by(2);
    let mut of_language = blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")));
    let found = of_language.nth(number);
    format!(
        "{}\n",
        found.unwrap_or_else(|| panic!("{heading}: no block {number} of {language}"))
    )
}

/// Every heading.
pub fn headings() -> Vec<&'static str> {
    let page = include_str!("../../docs/consumers.md");
    page.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect()
}
