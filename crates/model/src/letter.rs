//! Letters that are more than shown.
//!
//! Names are not checked, so that any may stand in one. Who prints a name for a terminal, or offers a request
//! with it, has to ask here: both must judge alike, or what is offered cannot be pasted.

/// Whether a terminal does something else with it than to show it: control characters, and those that turn
/// the direction of what follows.
pub fn is_obeyed(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

/// Whether it can be printed, about as Go's `unicode.IsPrint` sees it; paths with others are refused.
pub fn is_printable(letter: char) -> bool {
    let blank = letter.is_whitespace() && letter != ' ';
    let format = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let private = matches!(letter, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !letter.is_control() && !blank && !format && !private
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_cannot_be_printed() {
        for (letter, obeyed, printable) in [
            ('a', false, true),
            (' ', false, true),
            ('é', false, true),
            ('😀', false, true),
            ('\u{fffd}', false, true),
            ('\0', true, false),
            ('\n', true, false),
            ('\u{9b}', true, false),
            ('\u{200e}', true, false),
            ('\u{2069}', true, false),
            ('\u{200b}', false, false),
            ('\u{a0}', false, false),
            ('\u{e000}', false, false),
        ] {
            assert_eq!(
                (is_obeyed(letter), is_printable(letter)),
                (obeyed, printable),
                "{letter:?}"
            );
        }
    }
}
