//! Text cut at a character. `str`'s own search brings one of core's ways to panic into the image; this
//! one, for ASCII only, has none.

/// The text before and after the first `separator`, which is an ASCII character.
pub(crate) fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().position(|byte| *byte == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    let (_, after) = rest.split_at_checked(1)?;
    Some((before, after))
}

#[cfg(test)]
mod tests {
    use super::split_once;

    #[test]
    fn a_text_is_cut_at_the_first_separator() {
        assert_eq!(split_once("a=b=c", b'='), Some(("a", "b=c")));
        assert_eq!(split_once("=", b'='), Some(("", "")));
        assert_eq!(split_once("größe@1", b'@'), Some(("größe", "1")));
        assert_eq!(split_once("a", b'='), None);
    }
}
