//! The columns of a process creation.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::array::builder::{BooleanBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::telemetry::mapping::Event;

/// Their names and types, in the schema's order.
pub(super) fn fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    vec![
        text("command_line"),
        text("host"),
        text("user"),
        text("os"),
        text("image"),
        text("parent_image"),
        text("parent_command_line"),
        text("integrity_level"),
        text("user_sid"),
        text("original_file_name"),
        Field::new("signed", DataType::Boolean, true),
        Field::new("signer_trusted", DataType::Boolean, true),
    ]
}

#[derive(Default)]
pub(super) struct CommandColumns {
    /// `command_line` to `original_file_name`, in the schema's order.
    text: [StringBuilder; 10],
    /// `signed` and `signer_trusted`.
    flags: [BooleanBuilder; 2],
}

impl CommandColumns {
    /// Appends an event; gives its text's size in bytes.
    pub(super) fn append(&mut self, command_line: &str, event: &Event) -> usize {
        let text = [
            Some(command_line),
            event.host.as_deref(),
            event.user.as_deref(),
            event.os.as_deref(),
            event.image.as_deref(),
            event.parent_image.as_deref(),
            event.parent_command_line.as_deref(),
            event.integrity_level.as_deref(),
            event.user_sid.as_deref(),
            event.original_file_name.as_deref(),
        ];
        let mut bytes = 0;
        for (builder, value) in self.text.iter_mut().zip(text) {
            bytes += value.map_or(0, str::len);
            builder.append_option(value);
        }
        self.flags[0].append_option(event.signed);
        self.flags[1].append_option(event.signer_trusted);
        bytes
    }

    pub(super) fn append_null(&mut self) {
        self.text.iter_mut().for_each(StringBuilder::append_null);
        self.flags.iter_mut().for_each(BooleanBuilder::append_null);
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let text = self.text.iter_mut();
        let text = text.map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let flags = self.flags.iter_mut();
        text.chain(flags.map(|builder| Arc::new(builder.finish()) as ArrayRef))
            .collect()
    }
}
