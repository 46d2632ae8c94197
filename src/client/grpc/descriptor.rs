//! What the service looks like, for clients that ask: the same as `atmosphere.proto`, which a test
//! holds it to, so that nobody needs a compiler to build this.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, MethodDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// The package.
const PACKAGE: &str = "org.atmosphere.grpc";

/// The messages' full name.
const MESSAGE: &str = ".org.atmosphere.grpc.AtmosphereMessage";

/// The file, and nothing else.
pub(super) fn file_set() -> FileDescriptorSet {
    let file = FileDescriptorProto {
        name: Some("atmosphere.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        message_type: vec![message()],
        enum_type: vec![kinds()],
        service: vec![service()],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }
}

fn service() -> ServiceDescriptorProto {
    let method = |name: &str, asks_on: bool, answers_on: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(MESSAGE.to_owned()),
        output_type: Some(MESSAGE.to_owned()),
        client_streaming: asks_on.then_some(true),
        server_streaming: answers_on.then_some(true),
        ..MethodDescriptorProto::default()
    };
    ServiceDescriptorProto {
        name: Some("AtmosphereService".to_owned()),
        method: vec![
            method("Stream", true, true),
            method("Subscribe", false, true),
            method("Send", false, false),
        ],
        ..ServiceDescriptorProto::default()
    }
}

fn message() -> DescriptorProto {
    let one = Label::Optional;
    DescriptorProto {
        name: Some("AtmosphereMessage".to_owned()),
        field: vec![
            of_type(field("type", 1, one, Type::Enum), ".org.atmosphere.grpc.MessageType"),
            field("topic", 2, one, Type::String),
            field("payload", 3, one, Type::String),
            field("binary_payload", 4, one, Type::Bytes),
            of_type(
                field("headers", 5, Label::Repeated, Type::Message),
                ".org.atmosphere.grpc.AtmosphereMessage.HeadersEntry",
            ),
            field("tracking_id", 6, one, Type::String),
        ],
        nested_type: vec![DescriptorProto {
            name: Some("HeadersEntry".to_owned()),
            field: vec![field("key", 1, one, Type::String), field("value", 2, one, Type::String)],
            options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
            ..DescriptorProto::default()
        }],
        ..DescriptorProto::default()
    }
}

fn kinds() -> EnumDescriptorProto {
    let names = ["SUBSCRIBE", "UNSUBSCRIBE", "MESSAGE", "HEARTBEAT", "ACK", "ERROR"];
    let value = |(number, name): (i32, &str)| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    EnumDescriptorProto {
        name: Some("MessageType".to_owned()),
        value: (0..).zip(names).map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

fn field(name: &str, number: i32, label: Label, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        json_name: Some(json_name(name)),
        ..FieldDescriptorProto::default()
    }
}

fn of_type(field: FieldDescriptorProto, name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(name.to_owned()), ..field }
}

/// `binary_payload` is `binaryPayload` in JSON.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let mut json = words.next().unwrap_or_default().to_owned();
    for word in words {
        json += &word[..1].to_ascii_uppercase();
        json += &word[1..];
    }
    json
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_file_says_the_same() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/grpc");
        let compiled = protox::compile(["atmosphere.proto"], [folder]).unwrap();
        let mut files = compiled.file;
        files.iter_mut().for_each(|file| file.source_code_info = None);
        assert_eq!(files, file_set().file);
    }
}
