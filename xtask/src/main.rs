//! (front page to come)
fn main() {}
