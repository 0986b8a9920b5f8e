//! Generates the messages and services of `proto/gleaner/v1`, without `protoc`: `protox` compiles them.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/gleaner/v1/control.proto");
    let files = protox::compile(["gleaner/v1/control.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
