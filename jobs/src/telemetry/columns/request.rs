//! The columns of a request to an API.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::array::builder::{
    Float64Builder, Int32Builder, Int64Builder, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field};

use crate::telemetry::mapping::api::Request;

/// Their names and types, in the schema's order.
pub(super) fn fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    vec![
        text("user"),
        text("session"),
        text("client_ip"),
        text("method"),
        text("host"),
        text("path"),
        text("query"),
        Field::new("status", DataType::Int32, true),
        text("error_code"),
        Field::new("request_bytes", DataType::Int64, true),
        Field::new("response_bytes", DataType::Int64, true),
        Field::new("latency_ms", DataType::Float64, true),
        text("user_agent"),
        text("referer"),
        text("body"),
        text("headers"),
    ]
}

#[derive(Default)]
pub(super) struct RequestColumns {
    /// `user` to `query`.
    target: [StringBuilder; 7],
    status: Int32Builder,
    error_code: StringBuilder,
    /// `request_bytes` and `response_bytes`.
    sizes: [Int64Builder; 2],
    latency_ms: Float64Builder,
    /// `user_agent` to `headers`.
    client: [StringBuilder; 4],
}

impl RequestColumns {
    /// Appends a request; gives its text's size in bytes.
    pub(super) fn append(&mut self, path: &str, request: &Request) -> usize {
        let target = [
            request.user.as_deref(),
            request.session.as_deref(),
            request.client_ip.as_deref(),
            request.method.as_deref(),
            request.host.as_deref(),
            Some(path),
            request.query.as_deref(),
        ];
        let client = [
            request.user_agent.as_deref(),
            request.referer.as_deref(),
            request.body.as_deref(),
            request.headers.as_deref(),
        ];
        let mut bytes = request.error_code.as_deref().map_or(0, str::len);
        for (builder, value) in self.target.iter_mut().zip(target) {
            bytes += value.map_or(0, str::len);
            builder.append_option(value);
        }
        for (builder, value) in self.client.iter_mut().zip(client) {
            bytes += value.map_or(0, str::len);
            builder.append_option(value);
        }
        self.status.append_option(request.status);
        self.error_code.append_option(request.error_code.as_deref());
        self.sizes[0].append_option(request.request_bytes);
        self.sizes[1].append_option(request.response_bytes);
        self.latency_ms.append_option(request.latency_ms);
        bytes
    }

    pub(super) fn append_null(&mut self) {
        self.target.iter_mut().for_each(StringBuilder::append_null);
        self.client.iter_mut().for_each(StringBuilder::append_null);
        self.status.append_null();
        self.error_code.append_null();
        self.sizes.iter_mut().for_each(Int64Builder::append_null);
        self.latency_ms.append_null();
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(16);
        for builder in &mut self.target {
            arrays.push(Arc::new(builder.finish()));
        }
        arrays.push(Arc::new(self.status.finish()));
        arrays.push(Arc::new(self.error_code.finish()));
        for builder in &mut self.sizes {
            arrays.push(Arc::new(builder.finish()));
        }
        arrays.push(Arc::new(self.latency_ms.finish()));
        for builder in &mut self.client {
            arrays.push(Arc::new(builder.finish()));
        }
        arrays
    }
}
