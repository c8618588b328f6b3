//! Fits a table into the width of a terminal: which columns there is room for, and how wide each is. Pure.

use unicode_width::UnicodeWidthChar;

/// Blanks between two columns.
pub const GAP: usize = 2;

/// What is left of a text that may be cut, at least, as long as its column is shown.
const LEAST_OF_LONG: usize = 16;

/// A column as it would like to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Cells of the terminal that its widest value or its header takes.
    pub natural: usize,
    /// Cells that its header takes.
    pub header: usize,
    /// True when its values may be cut.
    pub is_long: bool,
    /// How much a person misses it; the least missed goes first.
    pub weight: u8,
}

impl Column {
    fn least(&self) -> usize {
        if self.is_long { self.natural.min(self.header.max(LEAST_OF_LONG)) } else { self.natural }
    }
}

/// The width of each column; `None` for one that is left out. Without a `room` every column has what it likes.
pub fn fit(columns: &[Column], room: Option<usize>) -> Vec<Option<usize>> {
    let Some(room) = room else { return columns.iter().map(|column| Some(column.natural)).collect() };
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    while kept.len() > 1 && taken(columns, &kept) > room {
        // Of two that are missed alike, the later one goes.
        let least = kept.iter().rev().min_by_key(|at| columns[**at].weight).copied();
        kept.retain(|at| Some(*at) != least);
    }
    let mut widths = vec![None; columns.len()];
    for at in &kept {
        widths[*at] = Some(columns[*at].least().min(room));
    }
    share_out(columns, &kept, room.saturating_sub(taken(columns, &kept)), &mut widths);
    widths
}

/// Cells that these columns take at least.
fn taken(columns: &[Column], kept: &[usize]) -> usize {
    let widths: usize = kept.iter().map(|at| columns[*at].least()).sum();
    widths + GAP * kept.len().saturating_sub(1)
}

/// Gives what is left to the texts that were to be cut, the same to each as long as it has a use for it.
fn share_out(columns: &[Column], kept: &[usize], mut left: usize, widths: &mut [Option<usize>]) {
    loop {
        let missing = |at: &usize| columns[*at].natural - widths[*at].unwrap_or(0).min(columns[*at].natural);
        let mut hungry: Vec<usize> =
            kept.iter().copied().filter(|at| columns[*at].is_long && missing(at) > 0).collect();
        if left == 0 || hungry.is_empty() {
            return;
        }
        hungry.sort_by_key(|at| std::cmp::Reverse(columns[*at].weight));
        let each = (left / hungry.len()).max(1);
        for at in hungry {
            let missing = columns[at].natural - widths[at].unwrap_or(0);
            let more = each.min(missing).min(left);
            widths[at] = widths[at].map(|width| width + more);
            left -= more;
        }
    }
}

/// Cells of the terminal that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text in at most so many cells, with a sign where something was cut.
pub fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut short, mut taken) = (String::new(), 0);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken + 1 > most {
            break;
        }
        short.push(c);
    }
    if most > 0 {
        short.push('…');
    }
    short
}

/// How many characters of these names tell them apart, but no fewer than `least` of each says.
pub fn telling<'a>(names: &[&'a str], least: impl Fn(&'a str) -> usize) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let common = |one: &str, other: &str| {
        let shared = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
        shared.map(|(c, _)| c.len_utf8()).sum::<usize>()
    };
    // The names nearest to one in the alphabet are the ones that share most of its beginning.
    let shorten = |name: &&'a str| {
        let at = sorted.partition_point(|other| other < name);
        let before = at.checked_sub(1).and_then(|at| sorted.get(at)).map_or(0, |other| common(name, other));
        let after = sorted.get(at + 1).map_or(0, |other| common(name, other));
        let shared = before.max(after);
        let apart = name[shared..].chars().next().map_or(shared, |c| shared + c.len_utf8());
        &name[..name.floor_char_boundary(apart.max(least(name)).min(name.len()))]
    };
    names.iter().map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(natural: usize, is_long: bool, weight: u8) -> Column {
        Column { natural, header: 4, is_long, weight }
    }

    fn line(widths: &[Option<usize>]) -> usize {
        let shown: Vec<usize> = widths.iter().flatten().copied().collect();
        shown.iter().sum::<usize>() + GAP * (shown.len() - 1)
    }

    #[test]
    fn without_a_room_nothing_is_cut_and_nothing_left_out() {
        assert_eq!(fit(&[column(30, false, 1), column(300, true, 1)], None), [Some(30), Some(300)]);
    }

    #[test]
    fn what_is_missed_least_goes_first_and_the_rest_shares_the_room() {
        let columns =
            [column(12, false, 100), column(10, false, 10), column(90, true, 80), column(90, true, 90)];
        assert_eq!(fit(&columns, Some(120)), [Some(12), Some(10), Some(46), Some(46)]);
        assert_eq!(fit(&columns, Some(50)), [Some(12), None, Some(17), Some(17)]);
        assert_eq!(fit(&columns, Some(40)), [Some(12), None, None, Some(26)]);
    }

    #[test]
    fn a_line_is_never_longer_than_the_room() {
        for room in 1..220 {
            for long in [false, true] {
                let columns: Vec<_> =
                    (0..9).map(|n| column(7 * n + 1, long && n % 2 == 0, n as u8)).collect();
                let widths = fit(&columns, Some(room));
                assert!(line(&widths) <= room, "{room}: {widths:?}");
            }
        }
    }

    #[test]
    fn texts_are_cut_by_the_cells_they_take() {
        assert_eq!(
            (cut("日本語", 6), cut("日本語", 5), cut("日本語", 4)),
            ("日本語".into(), "日本…".into(), "日…".into())
        );
        assert_eq!((cut("abc", 2), cut("abc", 1), cut("abc", 0)), ("a…".into(), "…".into(), String::new()));
        assert_eq!(width("e\u{301}x"), 2);
    }

    #[test]
    fn names_keep_as_much_as_tells_them_apart() {
        let names = ["ses_aaaabbbb1", "ses_aaaabbbb2", "ses_zz", "ses_aaaa", "ses_aaaabbbb2"];
        assert_eq!(
            telling(&names, |_| 6),
            ["ses_aaaabbbb1", "ses_aaaabbbb2", "ses_zz", "ses_aaaa", "ses_aaaabbbb2"]
        );
        assert_eq!(telling(&["äöü", "äöx"], |_| 1), ["äöü", "äöx"]);
        assert_eq!(telling(&["ses_1234567890abcdef"], |_| 12), ["ses_12345678"]);
    }
}
