//! Files that are written by a program and committed.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo_output, root};

/// A generated file, and the cargo call that prints it.
const FILES: &[(&str, &[&str])] =
    &[("openapi.json", &["run", "--quiet", "--package", "rustsocks-api", "--example", "openapi"])];

/// Writes every generated file, or checks that each is as it would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    for (name, call) in FILES {
        let path = root().join(name);
        let wanted = cargo_output(call)?;
        if !check {
            fs::write(&path, wanted).with_context(|| format!("cannot write {name}"))?;
            continue;
        }
        let found = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        if found != wanted {
            bail!("{name} is out of date; run `cargo xtask generate`");
        }
    }
    Ok(())
}
