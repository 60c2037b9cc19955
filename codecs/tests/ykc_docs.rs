//! `docs/protocol/ykc.md` says what the field tables say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::ykc::{BODY_MAX, Field, Message, Shape};

const DOCS: &str = include_str!("../../docs/protocol/ykc.md");

/// Offset, length, name, form and unit of every row under the heading of a type.
fn documented(kind: u8) -> Option<Vec<[String; 5]>> {
    let heading = format!("### 0x{kind:02X} ");
    let section = DOCS.split("\n### ").skip(1).find(|section| format!("### {section}").starts_with(&heading))?;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let cells = cells(line);
        [&cells[1], &cells[2], &cells[3], &cells[4], &cells[5]].map(String::clone)
    });
    Some(rows.collect())
}

fn forms(field: &Field) -> Vec<String> {
    let int = format!("u{}{}", field.len * 8, if field.len > 1 { " LE" } else { "" });
    match field.shape {
        Shape::Hex => vec!["BCD".into(), "bytes".into()],
        Shape::Int => vec![int],
        Shape::Decimal(decimals) => vec![format!("{int}, 10^-{decimals}")],
        Shape::Temperature => vec!["u8, -50".into()],
        Shape::Text => vec!["ASCII".into()],
        Shape::Time => vec!["CP56Time2a".into()],
        Shape::Code(_) => vec!["code".into()],
    }
}

#[test]
fn the_tables_agree() {
    let mut tables = 0;
    for kind in 0..=u8::MAX {
        let body = [0; BODY_MAX];
        let message = Message::parse(kind, &body).unwrap();
        let fields = message.fields();
        let Some(rows) = documented(kind) else {
            assert!(fields.is_empty(), "{kind:#04x} is not documented");
            continue;
        };
        assert_eq!(rows.len(), fields.len(), "{kind:#04x}");
        for (row, field) in rows.iter().zip(fields) {
            let expected = [field.at.to_string(), field.len.to_string(), format!("`{}`", field.name)];
            assert_eq!((&row[..3], row[4].as_str()), (&expected[..], field.unit), "{kind:#04x}");
            assert!(forms(field).contains(&row[3]), "{kind:#04x} {}: {}", field.name, row[3]);
        }
        tables += 1;
    }
    assert_eq!(tables, 28);
}
