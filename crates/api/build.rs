//! Notices when the built dashboard changes, so that the program embeds the newest one.
//!
//! It builds nothing: `cargo xtask build` does that, and without it the program says how.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo takes a path that does not exist for changed every time, so what is watched exists:
    // the nearest folder in which the built files would appear.
    let watched = ["../../dashboard/dist", "../../dashboard", "../../Cargo.toml"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    if let Some(path) = watched {
        println!("cargo::rerun-if-changed={path}");
    }
}
