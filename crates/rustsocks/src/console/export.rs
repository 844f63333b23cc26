//! `rustsocks sessions export`: ended sessions as a file of any length, piece by piece.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::console::endings::Endings;
use crate::console::filter::Filter;
use crate::console::http::{Http, Pieces, Question};
use crate::console::safe::{self, Flow};
use crate::console::{EXIT_CODES, Fault, Outcome};
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Export {
    /// The form: CSV with a line of column names, or a JSON object per line.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The file, which appears when it is complete; standard output where left out.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl Export {
    pub(crate) async fn ask(self, http: &Http) -> Outcome {
        let query = self.filter.query().with("format", self.format.name());
        let pieces = http
            .open(Question { path: "/api/sessions/export", query, ..Question::default() })
            .await?;
        match &self.output {
            Some(file) => to_file(pieces, file).await,
            None if output::is_terminal() => self.to_terminal(pieces).await,
            None => to_output(pieces).await,
        }
    }

    /// Data for a person's eyes: as it is, but for what a terminal would obey.
    async fn to_terminal(&self, mut pieces: Pieces) -> Outcome {
        let mut flow = Flow::default();
        while let Some(piece) = pieces.next().await? {
            let text = match self.format {
                Format::Csv => flow.piece(&piece),
                Format::Ndjson => json_lines(&flow.text(&piece)),
            };
            if pour(text.as_bytes())?.is_break() {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// JSON lines in which every character is visible.
fn json_lines(text: &str) -> String {
    text.split('\n').map(safe::json).collect::<Vec<_>>().join("\n")
}

/// Data for a program, as it came.
async fn to_output(mut pieces: Pieces) -> Outcome {
    while let Some(piece) = pieces.next().await? {
        if pour(&piece)?.is_break() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn pour(bytes: &[u8]) -> Result<ControlFlow<()>, Fault> {
    output::pour(bytes).map_err(Fault::Output)
}

/// A file under its name only when it is whole, so that a part is not taken for it.
async fn to_file(mut pieces: Pieces, path: &Path) -> Outcome {
    let mut name = path.as_os_str().to_owned();
    // Not that of another export, nor what one that was killed has left.
    name.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(name);
    let mut endings = Endings::listen()?;
    let file = File::create_new(&part).map_err(|error| {
        let problem = format!("{}: {error}", part.display());
        Fault::Output(io::Error::new(error.kind(), problem))
    })?;
    let written = tokio::select! {
        written = write(&mut pieces, file) => written,
        // Who is told to end leaves nothing behind either.
        code = endings.told() => Ok(code),
    };
    match written {
        Ok(code) if code == ExitCode::SUCCESS => {
            let placed = std::fs::rename(&part, path);
            placed.map_err(Fault::Output).map(|()| code)
        }
        other => {
            // What remains if this fails bears another name than the whole would.
            let _removed = std::fs::remove_file(&part);
            other
        }
    }
}

async fn write(pieces: &mut Pieces, mut file: File) -> Outcome {
    while let Some(piece) = pieces.next().await? {
        file.write_all(&piece).map_err(Fault::Output)?;
    }
    file.sync_all().map_err(Fault::Output)?;
    Ok(ExitCode::SUCCESS)
}
