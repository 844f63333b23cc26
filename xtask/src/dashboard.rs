//! The dashboard's part of the chores: npm is run here, and nowhere else.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::packages;
use crate::shell::{cargo, root, run};

/// The oldest Node.js that the build works with.
const NODE: (u32, u32) = (20, 19);

/// Where the browser tests find their browser.
const BROWSER: &str = "/usr/bin/chromium";

/// npm, with a Node.js that is new enough. Its commands run in the dashboard's folder.
#[derive(Debug)]
pub(crate) struct Npm(());

impl Npm {
    /// npm, or `None` and a word about it on standard error.
    fn find() -> Option<Self> {
        let version = output("node", &["--version"]).filter(|_| output("npm", &["-v"]).is_some());
        let Some(version) = version else {
            eprintln!("npm is not installed: going on without the dashboard");
            return None;
        };
        let mut numbers = version.trim_start_matches('v').split('.').map_while(|n| n.parse().ok());
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < NODE {
            let (major, minor) = NODE;
            eprintln!(
                "Node.js {version} is older than {major}.{minor}: going on without the dashboard"
            );
            return None;
        }
        Some(Self(()))
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        run(Command::new("npm").args(["--prefix", "dashboard"]).args(arguments))
    }

    /// Runs one of the scripts of `dashboard/package.json`.
    fn script(&self, name: &str) -> Result<()> {
        self.run(&["run", "--silent", name])
    }
}

/// What a program prints, where it is there and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Builds the dashboard where npm is there, for the next cargo build to embed.
///
/// # Errors
/// Where npm is there and fails.
pub(crate) fn build() -> Result<Option<Npm>> {
    let Some(npm) = Npm::find() else { return Ok(None) };
    let folder = root().join("dashboard");
    install(&npm, &folder)?;
    let (built, stamp) = (folder.join("dist/index.html"), folder.join("node_modules/.built"));
    let now = fingerprint(&folder)?;
    if !built.exists() || !says(&stamp, &now) {
        npm.script("build")?;
        fs::write(&stamp, now).context("cannot note what was built")?;
    }
    Ok(Some(npm))
}

/// As [`build`], for those who want the program most of all: a failure is told and no obstacle.
pub(crate) fn build_where_possible() {
    if let Err(error) = build() {
        eprintln!("the dashboard cannot be built, going on without: {error:#}");
    }
}

/// Checks the dashboard's sources, tests its parts, measures it, and drives the program that the
/// tests of the workspace have just built with a browser.
pub(crate) fn test(npm: &Npm) -> Result<()> {
    for script in ["check", "test", "size"] {
        npm.script(script)?;
    }
    if !Path::new(BROWSER).exists() {
        eprintln!("{BROWSER} is not there: the browser tests are left out");
        return Ok(());
    }
    npm.script("e2e")
}

/// Writes docs/images/ anew.
pub(crate) fn screenshots() -> Result<()> {
    packages::ensure(packages::TEST)?;
    packages::ensure(packages::PICTURES)?;
    let npm = build()?.context("the pictures are made by a program that runs on Node.js")?;
    cargo(["build", "--package", "rustsocks"])?;
    npm.script("screenshots")
}

/// Installs exactly what the lock file says, unless that is what was installed last.
fn install(npm: &Npm, folder: &Path) -> Result<()> {
    let lock = fs::read_to_string(folder.join("package-lock.json"))
        .context("cannot read dashboard/package-lock.json")?;
    let stamp = folder.join("node_modules/.installed");
    if says(&stamp, &lock) {
        return Ok(());
    }
    npm.run(&["ci", "--no-audit", "--no-fund"])?;
    fs::write(&stamp, lock).context("cannot note what was installed")
}

fn says(stamp: &Path, text: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|said| said == text)
}

/// A number for everything that the build reads.
fn fingerprint(folder: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let mut files = vec![root().join("openapi.json")];
    sources(folder, &mut files)?;
    files.sort();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The files below a folder of the dashboard, without what is made from them and what tests them.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let made = ["node_modules", "dist", "e2e", "schema.ts"].iter().any(|made| name == *made);
        if made {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => sources(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
