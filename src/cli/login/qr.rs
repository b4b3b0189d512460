//! A QR code in the terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Draws a text as a QR code, with two modules in each character, light on dark as terminals are.
/// Returns `None` when the text is too long.
pub(super) fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let mut image = code.render::<Dense1x2>();
    // What is printed appears light on a terminal, so the code's light modules are printed.
    image
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark);
    Some(image.build() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_quiet_zone() {
        let code = draw("https://op.example/device?user_code=WDJB-MJHT").unwrap();
        let lines: Vec<&str> = code.lines().collect();
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
        // four light modules all around
        assert!(lines[0].chars().all(|c| c == '█'), "{code}");
        // of the last line, there may be but the upper half
        let edge = |line: &&str| line.starts_with("████") || line.starts_with("▀▀▀▀");
        assert!(lines.iter().all(edge), "{code}");
        assert!(code.contains(' '));
        assert_eq!(draw(&"x".repeat(5000)), None);
    }
}
