//! Our two plan nodes: they survive their bytes, and what they write is what they say.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use datafusion_proto::logical_plan::{AsLogicalPlan, LogicalExtensionCodec};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use gleaner::plan::codec::{LogicalCodec, PhysicalCodec, Planner};
use gleaner::plan::scan::TelemetryTable;
use gleaner::plan::write::{Digest, WriteNode};
use gleaner::session;
use gleaner::telemetry::Kind;
use gleaner_proto::plan::{ScanSpec, TelemetryFile, WriteSpec};

use crate::support::Dir;

async fn write_plan(ctx: &SessionContext, dir: &Dir, sql: &str, sort: &str) -> LogicalPlan {
    let input = ctx.sql(sql).await.unwrap().into_unoptimized_plan();
    let spec = WriteSpec {
        directory_url: format!("file://{}/", dir.path().display()),
        file_prefix: "sub/part".to_owned(),
        sort_column: sort.to_owned(),
        staged: false,
    };
    LogicalPlan::Extension(Extension {
        node: Arc::new(WriteNode::new(spec, input).unwrap()),
    })
}

async fn execute(ctx: &SessionContext, plan: LogicalPlan) -> RecordBatch {
    let batches = ctx
        .execute_logical_plan(plan)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(batches.len(), 1);
    batches[0].clone()
}

fn manifest(batch: &RecordBatch) -> (String, i64, Digest) {
    let path = batch.column(0).as_string::<i32>().value(0).to_owned();
    let rows = batch.column(1).as_primitive::<Int64Type>().value(0);
    (
        path,
        rows,
        Digest::from_hex(batch.column(3).as_string::<i32>().value(0)).unwrap(),
    )
}

const SQL: &str = "SELECT * FROM (VALUES (2, 'b'), (1, 'a'), (3, NULL)) AS t (n, s)";

#[tokio::test]
async fn the_write_node_survives_both_codecs() {
    let (ctx, dir) = (session::embedded(1 << 28).unwrap(), Dir::new());
    let plan = write_plan(&ctx, &dir, SQL, "").await;
    let task = ctx.task_ctx();
    let codec = LogicalCodec::default();
    let node = LogicalPlanNode::try_from_logical_plan(&plan, &codec).unwrap();
    let again = node.try_into_logical_plan(&task, &codec).unwrap();
    assert_eq!(
        format!("{}", again.display_indent()),
        format!("{}", plan.display_indent())
    );

    let physical = ctx.state().create_physical_plan(&again).await.unwrap();
    let codec = PhysicalCodec::default();
    let node = PhysicalPlanNode::try_from_physical_plan(Arc::clone(&physical), &codec).unwrap();
    let again = node.try_into_physical_plan(&task, &codec).unwrap();
    assert!(again.name() == "GleanerWriteExec", "{}", again.name());
    let batches = datafusion::physical_plan::collect(again, task)
        .await
        .unwrap();
    assert_eq!(manifest(&batches[0]).1, 3);
}

/// A scheduler's session, for a client that asks for so many partitions.
fn scheduler(partitions: usize, shuffles: bool) -> SessionContext {
    let config = session::config().with_target_partitions(partitions);
    let runtime = session::runtime(1 << 28).unwrap();
    let planner = Planner::Scheduler { shuffles };
    SessionContext::new_with_state(session::state(config, runtime, planner).unwrap())
}

#[tokio::test]
async fn shuffles_are_for_clients_that_ask_for_partitions_where_the_scheduler_allows_them() {
    for (partitions, shuffles, whole) in [(8, true, false), (8, false, true), (1, true, true)] {
        let ctx = scheduler(partitions, shuffles);
        let sql = "SELECT n, count(*) FROM (VALUES (1), (2)) AS t (n) GROUP BY n";
        let plan = ctx.sql(sql).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let is_whole = plan.name() == "GleanerWholeExec";
        assert_eq!(
            is_whole, whole,
            "{partitions} partitions, shuffles {shuffles}"
        );
    }
}

#[tokio::test]
async fn a_plan_of_several_partitions_is_one_leaf_and_whole_after_its_bytes() {
    let ctx = scheduler(8, false);
    let values: Vec<String> = (0..1000).map(|i| format!("({i})")).collect();
    let sql = format!(
        "SELECT n, count(*) FROM (VALUES {}) AS t (n) GROUP BY n",
        values.join(", ")
    );
    let plan = ctx.sql(&sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let codec = PhysicalCodec::default();
    let node = PhysicalPlanNode::try_from_physical_plan(plan, &codec).unwrap();
    let again = node
        .try_into_physical_plan(&ctx.task_ctx(), &codec)
        .unwrap();
    assert!(again.children().is_empty(), "Ballista would cut it");
    assert_eq!(again.properties().partitioning.partition_count(), 1);
    let inner = format!("{}", displayable(again.as_ref()).indent(false));
    assert!(inner.contains("RepartitionExec"), "{inner}");
    let batches = datafusion::physical_plan::collect(again, ctx.task_ctx())
        .await
        .unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 1000);
}

#[tokio::test]
async fn the_scan_node_survives_the_codec() {
    let ctx = session::embedded(1 << 28).unwrap();
    let spec = ScanSpec {
        files: vec![TelemetryFile {
            url: "file:///tmp/x.ndjson".to_owned(),
            size_bytes: 7,
            etag: String::new(),
        }],
        schema: "ecs".to_owned(),
        day: 20_000,
        max_line_bytes: 99,
        undated_as_day: true,
        projection: vec![],
        kind: "api".to_owned(),
    };
    let codec = LogicalCodec::default();
    let table = "t".into();
    let mut bytes = vec![];
    codec
        .try_encode_table_provider(
            &table,
            Arc::new(TelemetryTable::new(spec.clone()).unwrap()),
            &mut bytes,
        )
        .unwrap();
    let schema = gleaner::telemetry::events_schema(Kind::Api);
    let again = codec
        .try_decode_table_provider(&bytes, &table, schema, &ctx.task_ctx())
        .unwrap();
    let any: &dyn std::any::Any = again.as_ref();
    assert_eq!(any.downcast_ref::<TelemetryTable>().unwrap().spec(), &spec);
    // Damaged bytes are an error, not another plan.
    bytes.truncate(bytes.len() - 3);
    let schema = gleaner::telemetry::events_schema(Kind::Api);
    assert!(
        codec
            .try_decode_table_provider(&bytes, &table, schema, &ctx.task_ctx())
            .is_err()
    );
}

#[tokio::test]
async fn a_file_holds_what_its_manifest_says_under_a_name_of_its_own() {
    let (ctx, dir) = (session::embedded(1 << 28).unwrap(), Dir::new());
    let plan = write_plan(&ctx, &dir, SQL, "").await;
    let first = manifest(&execute(&ctx, plan.clone()).await);
    let second = manifest(&execute(&ctx, plan).await);
    assert_ne!(first.0, second.0);
    assert_eq!((first.1, first.2), (second.1, second.2));
    for (path, ..) in [&first, &second] {
        let sql = format!("SELECT count(*) FROM '{}'", dir.join(path));
        let batches = ctx
            .clone()
            .enable_url_table()
            .sql(&sql)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 3);
    }
}

#[tokio::test]
async fn the_digest_depends_on_the_rows_and_on_nothing_else() {
    let (ctx, dir) = (session::embedded(1 << 28).unwrap(), Dir::new());
    let mut digests = vec![];
    for (sql, sort) in [
        (SQL, ""),
        (SQL, "n"),
        (
            "SELECT * FROM (VALUES (3, NULL), (1, 'a'), (2, 'b')) AS t (n, s)",
            "",
        ),
        (
            "SELECT * FROM (VALUES (3, NULL), (1, 'a'), (2, 'c')) AS t (n, s)",
            "",
        ),
        ("SELECT * FROM (VALUES (3, NULL), (1, 'a')) AS t (n, s)", ""),
    ] {
        let plan = write_plan(&ctx, &dir, sql, sort).await;
        digests.push(manifest(&execute(&ctx, plan).await).2);
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
    assert_ne!(digests[0], digests[3]);
    assert_ne!(digests[0], digests[4]);
    // The digests of parts add up to that of the whole.
    let plan = write_plan(
        &ctx,
        &dir,
        "SELECT * FROM (VALUES (2, 'b')) AS t (n, s)",
        "",
    )
    .await;
    let mut sum = digests[4];
    sum.merge(&manifest(&execute(&ctx, plan).await).2);
    assert_eq!(sum, digests[0]);
    assert_eq!(Digest::from_hex(&sum.to_hex()), Some(sum));
}

#[tokio::test]
async fn a_query_without_rows_still_writes_a_file() {
    let (ctx, dir) = (session::embedded(1 << 28).unwrap(), Dir::new());
    let plan = write_plan(&ctx, &dir, &format!("{SQL} WHERE n > 5"), "n").await;
    let (path, rows, digest) = manifest(&execute(&ctx, plan).await);
    assert_eq!((rows, digest), (0, Digest::default()));
    assert!(dir.path().join(path).is_file());
}

#[tokio::test]
async fn a_sorted_file_lets_a_reader_of_a_short_range_skip_the_rest() {
    let (ctx, dir) = (session::embedded(1 << 28).unwrap(), Dir::new());
    let sql = "SELECT 10000 - value AS bucket, 'a line ' || value AS line FROM generate_series(1, 10000) AS t (value)";
    let plan = write_plan(&ctx, &dir, sql, "bucket").await;
    let (path, rows, _) = manifest(&execute(&ctx, plan).await);
    assert_eq!(rows, 10_000);
    let file = std::fs::File::open(dir.path().join(path)).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .unwrap();
    let (bounds, places) = (
        metadata.column_index().unwrap(),
        metadata.offset_index().unwrap(),
    );
    assert_eq!(metadata.num_row_groups(), 1);
    let ColumnIndexMetaData::INT64(bucket) = &bounds[0][0] else {
        panic!("the sort column's pages have bounds");
    };
    let firsts: Vec<i64> = bucket.min_values().to_vec();
    assert!(
        firsts.is_sorted() && firsts.len() >= 10_000 / 512,
        "{firsts:?}"
    );
    assert!(
        matches!(bounds[0][1], ColumnIndexMetaData::NONE),
        "of other columns they are not read"
    );
    // Pages of all columns are short: the range of a bucket is found in each.
    for column in &places[0] {
        assert!(column.page_locations().len() >= 10_000 / 1024);
    }
}
