//! Compiles the Protobuf schema with a compiler written in Rust (nobody needs `protoc`), gives the types a JSON form for people, and
//! lists the schema for the test that compares it with the committed snapshot.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use prost_build::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/events.proto", "proto/commands.proto", "proto/registry.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut config = Config::new();
    config.bytes(["."]);
    config.type_attribute(".", "#[derive(serde::Serialize)]");
    config.enum_attribute(".", "#[serde(rename_all = \"snake_case\")]");
    for file in &descriptors.file {
        let package = file.package();
        let mut listing = String::new();
        for message in &file.message_type {
            let path = format!("{package}.{}", message.name());
            // Synthetic oneofs stand for `optional`.
            let real = |index: i32| {
                !message.field.iter().any(|field| field.oneof_index == Some(index) && field.proto3_optional())
            };
            for field in &message.field {
                let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
                let kind = field.type_name.as_deref().map_or(kind.as_str(), |name| name.trim_start_matches('.'));
                let label = match (field.proto3_optional(), field.label().as_str_name()) {
                    (true, _) => "optional ",
                    (_, "LABEL_REPEATED") => "repeated ",
                    _ => "",
                };
                let oneof = field.oneof_index.filter(|index| real(*index)).and_then(|index| {
                    message.oneof_decl.get(usize::try_from(index).ok()?).map(|oneof| format!(" in {}", oneof.name()))
                });
                let oneof = oneof.unwrap_or_default();
                writeln!(listing, "{path} {} {label}{kind} {}{oneof}", field.number(), field.name())?;
                if let Some(attribute) = json_attribute(field.name(), field.r#type().as_str_name(), field.type_name()) {
                    config.field_attribute(format!(".{path}.{}", field.name()), attribute);
                }
            }
        }
        for of in &file.enum_type {
            for value in &of.value {
                writeln!(listing, "{package}.{} = {} {}", of.name(), value.number(), value.name())?;
            }
        }
        fs::write(out.join(format!("{package}.snapshot")), listing)?;
    }
    config.compile_fds(descriptors)?;
    Ok(())
}

/// How a field is shown: bytes as hex, enum values by name, hashed secrets not at all.
fn json_attribute(name: &str, kind: &str, type_name: &str) -> Option<String> {
    let with = |function: &str| Some(format!("#[serde(serialize_with = \"crate::json::{function}\")]"));
    match kind {
        "TYPE_BYTES" if name.starts_with("secret_") => Some("#[serde(skip)]".to_owned()),
        "TYPE_BYTES" if name == "event_id" => with("uuid"),
        "TYPE_BYTES" => with("hex"),
        "TYPE_ENUM" => {
            let short = type_name.rsplit('.').next().unwrap_or(type_name);
            let snake: String = short
                .char_indices()
                .flat_map(|(at, c)| {
                    let gap = (at > 0 && c.is_uppercase()).then_some('_');
                    gap.into_iter().chain(c.to_lowercase())
                })
                .collect();
            with(&snake)
        }
        _ => None,
    }
}
