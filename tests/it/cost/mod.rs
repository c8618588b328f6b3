//! What sessions use, to the millionth of a dollar. The oracle is the fake model's own book.

mod books;
mod report;
mod turns;
