//! Prints the API's description, as `openapi.json` holds it.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(rustsocks_api::openapi_json().as_bytes())
}
