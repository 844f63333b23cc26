//! Debian packages that tests and benchmarks use as independent peers.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run};

/// A package, and a file that shows it is installed.
type Package = (&'static str, &'static str);

/// What the tests use: clients that are not ours, and tools that judge our output.
pub(crate) const TEST: &[Package] = &[
    ("chromium", "/usr/bin/chromium"),
    ("curl", "/usr/bin/curl"),
    ("dante-client", "/usr/bin/socksify"),
    ("faketime", "/usr/bin/faketime"),
    ("iproute2", "/usr/bin/ss"),
    ("mariadb-server", "/usr/sbin/mariadbd"),
    ("postgresql", "/usr/lib/postgresql"),
    ("prometheus", "/usr/bin/promtool"),
    ("python3", "/usr/bin/python3"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("python3-socks", "/usr/lib/python3/dist-packages/socks.py"),
    ("sqlite3", "/usr/bin/sqlite3"),
    ("zstd", "/usr/bin/zstd"),
];

/// Letters for the pictures of the documentation.
pub(crate) const PICTURES: &[Package] = &[
    ("fonts-inter", "/usr/share/fonts/opentype/inter"),
    ("fonts-noto-color-emoji", "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"),
];

/// What the benchmark compares with.
pub(crate) const BENCH: &[Package] = &[
    ("dante-server", "/usr/sbin/danted"),
    ("microsocks", "/usr/bin/microsocks"),
    ("wrk", "/usr/bin/wrk"),
];

/// Installs what is missing where this user may; says what is missing where not.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = Path::new("/usr/bin/apt-get");
    if apt.exists() && is_root() {
        eprintln!("installing Debian packages: {}", missing.join(" "));
        let mut update = Command::new(apt);
        run(update.args(["update", "--quiet"]))?;
        let mut install = Command::new(apt);
        // The packages' own services are not wanted, only their programs.
        install
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        return run(&mut install);
    }
    eprintln!(
        "These Debian packages are missing, and tests that need them will say so and skip:\n  \
         apt-get install {}",
        missing.join(" ")
    );
    Ok(())
}

/// The program that holds the API against its description, and its version.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Installs Schemathesis into the build folder, where it is not there yet. Without Python or a
/// package index its test says so and skips.
pub(crate) fn ensure_schemathesis() {
    let folder = root().join("target/tools/python");
    if folder.join("bin/schemathesis").exists() {
        return;
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status();
    let pip = ["-m", "pip", "install", "--quiet", SCHEMATHESIS];
    let installed = Command::new(folder.join("bin/python")).args(pip).status();
    if !(made.is_ok_and(|made| made.success()) && installed.is_ok_and(|done| done.success())) {
        eprintln!("{SCHEMATHESIS} cannot be installed; its test will say so and skip");
    }
}

/// Whether this process may install packages.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
