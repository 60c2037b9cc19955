//! Where the bytes of `evgate decode` come from, and hex in every spelling people paste.

use std::{io::Read, path::Path};

use anyhow::Context as _;

use super::DecodeArgs;
use crate::exit::{Exit, Failure, OrExit as _};

/// The input as given: from the file, the arguments, or stdin.
pub fn read(args: &DecodeArgs) -> Result<Vec<u8>, Failure> {
    if let Some(file) = &args.file {
        return read_file(file);
    }
    match args.input.as_slice() {
        [] => read_stdin(),
        [one] if one == "-" => read_stdin(),
        [one] if looks_like_a_file(one) => read_file(Path::new(one)),
        parts => Ok(parts.join(" ").into_bytes()),
    }
}

/// Hex and JSON win over a file of the same name; everything else that exists is a file.
fn looks_like_a_file(argument: &str) -> bool {
    !argument.trim_start().starts_with('[') && hex_of(argument.as_bytes()).is_err() && Path::new(argument).is_file()
}

fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).with_context(|| file.display().to_string()).or_exit(Exit::NoInput)
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("stdin").or_exit(Exit::NoInput)?;
    Ok(bytes)
}

/// Where hex stops being hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHex {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Bytes of hex text: spaces, line breaks, `,`, `:`, `-`, `0x` before a byte, quotes and `# comments` are allowed.
pub fn hex_of(text: &[u8]) -> Result<Vec<u8>, NotHex> {
    let text = String::from_utf8_lossy(text);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut half: Option<u8> = None;
    let mut last_line = 0;
    for (index, line) in text.lines().enumerate() {
        last_line = index + 1;
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | '-' | ';' | '"' | '\'')) {
            let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
            for c in word.chars() {
                let Some(digit) = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) else {
                    return Err(NotHex { line: last_line, what: format!("{c:?} is not a hex digit") });
                };
                half = match half {
                    None => Some(digit),
                    Some(high) => {
                        bytes.push(high << 4 | digit);
                        None
                    }
                };
            }
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err(NotHex { line: last_line, what: "an odd number of hex digits".into() }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_spelling_of_the_same_bytes() {
        for text in
            ["680d00", "68 0d 00", "68:0D:00", "0x68, 0x0d, 0x00", "68\n0d\r\n00 # end", "\"680d00\"", " 6 80d 00"]
        {
            assert_eq!(hex_of(text.as_bytes()).unwrap(), [0x68, 0x0d, 0x00], "{text:?}");
        }
    }

    #[test]
    fn says_where_it_is_not_hex() {
        assert_eq!(hex_of(b"68\n0g").unwrap_err(), NotHex { line: 2, what: "'g' is not a hex digit".into() });
        assert_eq!(hex_of(b"680").unwrap_err().line, 1);
    }
}
