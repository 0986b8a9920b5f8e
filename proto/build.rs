//! Generates the messages and services of `proto/gleaner/v1`, without `protoc`: `protox` compiles them.

use std::error::Error;

const FILES: [&str; 2] = ["gleaner/v1/control.proto", "gleaner/v1/scoring.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let files = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
