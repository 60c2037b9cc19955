//! Card numbers that are the same card.

/// Bytes of a physical card number, as hex digits.
const DIGITS: usize = 16;

/// The other ways to write a physical card number of 16 hex digits: chargers align a short one left or right in its 8 bytes
/// (`00000000d14b0a54`, `d14b0a5400000000`), so numbers are the same card when they are equal with zero bytes stripped from either end
/// (YKC V1.6 §3.3). In lower case; none for what is no card number, and for a number of zeros only.
#[must_use]
pub fn other_alignments(uid: &str) -> Vec<String> {
    if uid.len() != DIGITS || !uid.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let uid = uid.to_ascii_lowercase();
    let pairs: Vec<&str> = (0..DIGITS).step_by(2).filter_map(|at| uid.get(at..at + 2)).collect();
    let (Some(first), Some(last)) =
        (pairs.iter().position(|pair| *pair != "00"), pairs.iter().rposition(|pair| *pair != "00"))
    else {
        return Vec::new();
    };
    let digits = pairs.get(first..=last).unwrap_or_default().concat();
    (0..=(DIGITS - digits.len()) / 2)
        .map(|left| format!("{digits:0>width$}", width = digits.len() + 2 * left))
        .map(|aligned| format!("{aligned:0<DIGITS$}"))
        .filter(|aligned| *aligned != uid)
        .collect()
}

/// The token that a physical card number means, wherever in its 8 bytes the charger writes it: exactly this number comes first,
/// whatever its kind; of two other cards that differ only in where they stand neither is meant. `token` finds one by its uid in any case.
pub fn find<T>(uid: &str, token: impl Fn(&str) -> Option<T>, is_card: impl Fn(&T) -> bool) -> Option<T> {
    token(uid).or_else(|| {
        let others = other_alignments(uid);
        let mut cards = others.iter().filter_map(|uid| token(uid)).filter(is_card);
        cards.next().filter(|_| cards.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::{find, other_alignments};

    #[test]
    fn exactly_this_number_comes_first_then_the_only_other_card() {
        let tokens = [("00000000d1000002", "card"), ("00000000d1000003", "id_tag"), ("d100000400000000", "id_tag")];
        let means = |more: &[(&'static str, &'static str)], uid: &str| {
            let known: Vec<_> = tokens.iter().chain(more).copied().collect();
            let token = |uid: &str| known.iter().copied().find(|(known, _)| known.eq_ignore_ascii_case(uid));
            find(uid, token, |(_, kind)| *kind == "card").map(|(uid, _)| uid)
        };
        assert_eq!(means(&[], "D100000200000000"), Some("00000000d1000002"));
        assert_eq!(means(&[], "d100000300000000"), None, "an idTag has no alignment");
        assert_eq!(means(&[], "d100000400000000"), Some("d100000400000000"), "exactly this one, whatever it is");
        let left = ("d100000200000000", "card");
        assert_eq!(means(&[left], "d100000200000000"), Some("d100000200000000"));
        assert_eq!(means(&[left], "0000d10000020000"), None, "nobody knows whose it is");
    }

    #[test]
    fn a_short_number_is_found_wherever_it_stands() {
        assert_eq!(
            other_alignments("D100000200000000"),
            ["00d1000002000000", "0000d10000020000", "000000d100000200", "00000000d1000002"]
        );
        assert!(other_alignments("00000000d1000002").contains(&"d100000200000000".to_owned()));
        assert_eq!(other_alignments("d100000000000002"), Vec::<String>::new());
        for none in
            ["0000000000000000", "", "d1000002", "g100000200000000", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"]
        {
            assert_eq!(other_alignments(none), Vec::<String>::new(), "{none}");
        }
    }
}
