//! Entry point of `cargo xtask`: passes the arguments to the tested library and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(annals_xtask::run(&arguments, &mut std::io::stdout()))
}
