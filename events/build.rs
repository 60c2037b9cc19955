//! Compiles the Protobuf schema with a compiler written in Rust: nobody needs `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/events.proto", "proto/commands.proto", "proto/registry.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
