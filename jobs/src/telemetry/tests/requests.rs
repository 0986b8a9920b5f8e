//! Requests to APIs, in the examples of the documentation of each format.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};

use super::*;

/// The columns of a request.
const COLUMNS: [&str; 16] = [
    "user",
    "session",
    "client_ip",
    "method",
    "host",
    "path",
    "query",
    "status",
    "error_code",
    "request_bytes",
    "response_bytes",
    "latency_ms",
    "user_agent",
    "referer",
    "body",
    "headers",
];

/// Options to read requests of the day on which `time` is.
pub(super) fn on(time: &str) -> ReadOptions {
    ReadOptions::of(Kind::Api, time[..10].parse().unwrap())
}

/// Each request as `column=value` of the columns that it has, `|` between them.
pub(super) fn shown(seen: &Seen) -> Vec<String> {
    seen.cells("event", |batch, row| {
        let cells = COLUMNS.iter().filter_map(|name| {
            let array = batch.column_by_name(name).unwrap();
            let value = match array.data_type() {
                _ if array.is_null(row) => return None,
                DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
                DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
                DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
                _ => array.as_string::<i32>().value(row).to_owned(),
            };
            Some(format!("{name}={value}"))
        });
        cells.collect::<Vec<_>>().join("|")
    })
}

/// Reads text as a file of that name: its schema, and its requests.
fn requests(name: &str, time: &str, text: &str) -> (Option<SchemaKind>, Vec<String>) {
    let seen = read_as(name, text.as_bytes(), &on(time));
    assert_eq!(seen.account.quarantined, 0, "{:?}", seen.bad());
    let expected = time::parse(&value::Node::Text(time.into())).unwrap();
    assert!(seen.micros().iter().all(|micros| *micros == expected));
    (seen.account.schema, shown(&seen))
}

#[test]
fn the_common_and_combined_log_format_are_read_as_apache_documents_them() {
    let common =
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;
    let combined = format!(
        r#"{common} "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#
    );
    let time = "2000-10-10T20:55:36Z";
    let plain = "user=frank|client_ip=127.0.0.1|method=GET|path=/apache_pb.gif|status=200|response_bytes=2326";
    for name in ["access_log", "access.log", "access_log-20001010", "a.log"] {
        assert_eq!(
            requests(name, time, common),
            (Some(SchemaKind::AccessLog), vec![plain.to_owned()]),
            "{name}"
        );
    }
    assert_eq!(
        requests("access_log", time, &combined).1,
        [format!(
            "{plain}|user_agent=Mozilla/4.08 [en] (Win98; I ;Nav)|referer=http://www.example.com/start.html"
        )]
    );
}

#[test]
fn variants_of_the_log_format_are_read_too() {
    let time = "2020-06-09T19:10:39Z";
    let at = "[09/Jun/2020:12:10:39 -0700]";
    for (line, expected) in [
        // A virtual host before it, with the default port and without one.
        (
            format!(r#"shop.example:443 192.0.2.1 - - {at} "GET /a?b=1 HTTP/1.1" 206 7 "-" "-""#),
            "client_ip=192.0.2.1|method=GET|host=shop.example|path=/a|query=b=1|status=206|response_bytes=7",
        ),
        (
            format!(r#"shop.example 192.0.2.1 - - {at} "GET / HTTP/1.1" 304 -"#),
            "client_ip=192.0.2.1|method=GET|host=shop.example|path=/|status=304",
        ),
        // A user with a blank in it; HTTP/0.9; further fields behind.
        (
            format!(r#"::ffff:192.0.2.1 - Ada Lovelace {at} "GET /a" 200 5 "-" "curl" 0.003 "x""#),
            "user=Ada Lovelace|client_ip=192.0.2.1|method=GET|path=/a|status=200|response_bytes=5|user_agent=curl",
        ),
        // API Gateway's CLF has the request's id behind the size.
        (
            format!(r#"192.0.2.1 - ada {at} "GET /pets HTTP/1.1" 200 3 c6af9ac6-7b61"#),
            "user=ada|client_ip=192.0.2.1|method=GET|path=/pets|status=200|response_bytes=3",
        ),
        // Escapes of Apache and of nginx; a proxy's whole URL; a blank in a path.
        (
            format!(
                r#"192.0.2.1 - - {at} "GET http://Example.com:80/a b?q=\"x\"&r=\x22\xc3\xa9\x00 HTTP/1.1" 200 1 "-" "a\\b\tc""#
            ),
            "client_ip=192.0.2.1|method=GET|host=example.com|path=/a b|query=q=\"x\"&r=\"é%00|status=200|response_bytes=1|user_agent=a\\b%09c",
        ),
    ] {
        assert_eq!(requests("access_log", time, &line).1, [expected], "{line}");
    }
}

#[test]
fn an_application_load_balancers_log_is_read_as_aws_documents_it() {
    let time = "2018-07-02T22:23:00.186641Z";
    let http = r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/?a=b&c=d HTTP/1.1" "curl/7.46.0" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-""#;
    let https = r#"https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_123456"#;
    let lambda = r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 - 0.000 0.001 0.000 502 - 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337364-23a8c76965a2ef7629b185e3" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "LambdaInvalidResponse" "-" "-" "-" "-""#;
    let refused = r#"http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 81.2.69.193:56398 10.0.0.192:80 -1 -1 -1 460 - 125 0 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.58.0" - - - "Root=1-5da09932" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-""#;
    let text = [http, https, lambda, refused].join("\n");
    let who = "client_ip=192.168.131.39|method=GET|host=www.example.com|path=/";
    let (schema, rows) = requests("1_elasticloadbalancing_x.log", time, &text);
    assert_eq!(schema, Some(SchemaKind::Alb));
    assert_eq!(
        rows,
        [
            format!(
                "{who}|query=a=b&c=d|status=200|request_bytes=34|response_bytes=366|latency_ms=1|user_agent=curl/7.46.0"
            ),
            format!(
                "{who}|status=200|request_bytes=0|response_bytes=57|latency_ms=171|user_agent=curl/7.46.0"
            ),
            format!(
                "{who}|status=502|error_code=LambdaInvalidResponse|request_bytes=34|response_bytes=366|latency_ms=1|user_agent=curl/7.46.0"
            ),
            "client_ip=81.2.69.193|method=GET|host=www.example.com|path=/|status=460|request_bytes=125|response_bytes=0|user_agent=curl/7.58.0"
                .to_owned(),
        ]
    );
}

/// From AWS's examples of log file entries: `StartInstances`, and a call that failed.
pub(super) const CLOUDTRAIL: [&str; 2] = [
    r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"EXAMPLE6E4XEGITWATV6R","arn":"arn:aws:iam::123456789012:user/Mateo","accountId":"123456789012","accessKeyId":"AKIAIOSFODNN7EXAMPLE","userName":"Mateo","sessionContext":{"sessionIssuer":{},"webIdFederationData":{},"attributes":{"creationDate":"2023-07-19T21:11:57Z","mfaAuthenticated":"false"}}},"eventTime":"2023-07-19T21:17:28Z","eventSource":"ec2.amazonaws.com","eventName":"StartInstances","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.0","userAgent":"aws-cli/2.13.5 Python/3.11.4","requestParameters":{"instancesSet":{"items":[{"instanceId":"i-EXAMPLE56126103cb"}]}},"responseElements":{"instancesSet":{"items":[]}},"requestID":"e4336db0-149f-4a6b-844d-EXAMPLEb9d16","eventID":"e755e09c-42f9-4c5c-9064-EXAMPLE228c7","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","eventCategory":"Management"}"#,
    r#"{"eventVersion":"1.04","userIdentity":{"type":"IAMUser","principalId":"EX_PRINCIPAL_ID","arn":"arn:aws:iam::123456789012:user/Alice","accountId":"123456789012","accessKeyId":"EXAMPLE_KEY_ID","userName":"Alice"},"eventTime":"2023-07-19T21:17:28Z","eventSource":"cloudtrail.amazonaws.com","eventName":"UpdateTrail","awsRegion":"us-east-2","sourceIPAddress":"205.251.233.182","userAgent":"aws-cli/1.10.32 Python/2.7.9 Windows/7 botocore/1.4.22","errorCode":"TrailNotFoundException","errorMessage":"Unknown trail: myTrail2 for the user: 123456789012","requestParameters":{"name":"myTrail2"},"responseElements":null,"requestID":"5d40662a-49f7-11e6-97e4-dEXAMPLE","eventID":"b7d4398e-b2f0-4faa-9c76-e2d316a8d67f","eventType":"AwsApiCall","recipientAccountId":"123456789012"}"#,
];

#[test]
fn cloudtrail_is_read_record_by_record_as_a_document_and_as_lines() {
    let time = "2023-07-19T21:17:28Z";
    let key = gleaner_udfs::sql::text::content_hash;
    let expected = [
        format!(
            "user=arn:aws:iam::123456789012:user/Mateo|session={}|client_ip=192.0.2.0|method=POST|host=ec2.amazonaws.com|path=/StartInstances|status=200|user_agent=aws-cli/2.13.5 Python/3.11.4|body={{\"instancesSet\":{{\"items\":[{{\"instanceId\":\"i-EXAMPLE56126103cb\"}}]}}}}",
            key("AKIAIOSFODNN7EXAMPLE")
        ),
        format!(
            "user=arn:aws:iam::123456789012:user/Alice|session={}|client_ip=205.251.233.182|method=POST|host=cloudtrail.amazonaws.com|path=/UpdateTrail|status=400|error_code=TrailNotFoundException|user_agent=aws-cli/1.10.32 Python/2.7.9 Windows/7 botocore/1.4.22|body={{\"name\":\"myTrail2\"}}",
            key("EXAMPLE_KEY_ID")
        ),
    ];
    let joined = CLOUDTRAIL.join(",");
    let pretty = {
        let records: Vec<serde_json::Value> = CLOUDTRAIL
            .iter()
            .map(|record| serde_json::from_str(record).unwrap())
            .collect();
        serde_json::to_string_pretty(&serde_json::json!({ "Records": records })).unwrap()
    };
    for (what, text) in [
        ("document", format!("{{\"Records\":[{joined}]}}")),
        ("lines", CLOUDTRAIL.join("\n")),
        ("list", format!("[{joined}]")),
        ("pretty", pretty),
        (
            "two documents",
            format!(
                "{{\"Records\":[{}]}}\n{{\"Records\": [{}]}}",
                CLOUDTRAIL[0], CLOUDTRAIL[1]
            ),
        ),
    ] {
        let (schema, mut rows) = requests("123456789012_CloudTrail_x.json", time, &text);
        assert_eq!(schema, Some(SchemaKind::CloudTrail), "{what}");
        // Pretty printing sorts keys; there is one in each body.
        rows.sort_by_key(|row| !row.contains("Mateo"));
        assert_eq!(rows, expected, "{what}");
    }
}

#[test]
fn what_cloudtrail_did_not_allow_is_a_403_and_what_only_reads_a_get() {
    let time = "2023-07-19T21:17:28Z";
    for (fields, expected) in [
        (
            r#""eventName":"ListBuckets","errorCode":"AccessDenied","readOnly":true"#,
            "method=GET|host=s3.amazonaws.com|path=/ListBuckets|status=403|error_code=AccessDenied",
        ),
        (
            r#""eventName":"RunInstances","errorCode":"Client.UnauthorizedOperation","readOnly":"false""#,
            "method=POST|host=s3.amazonaws.com|path=/RunInstances|status=403|error_code=Client.UnauthorizedOperation",
        ),
        (
            r#""eventName":"DescribeInstances""#,
            "method=GET|host=s3.amazonaws.com|path=/DescribeInstances|status=200",
        ),
        (
            r#""eventName":"GetCallerIdentity","readOnly":true,"sourceIPAddress":"cloudformation.amazonaws.com","userIdentity":{"type":"AWSService","invokedBy":"cloudformation.amazonaws.com"}"#,
            "user=cloudformation.amazonaws.com|client_ip=cloudformation.amazonaws.com|method=GET|host=s3.amazonaws.com|path=/GetCallerIdentity|status=200",
        ),
    ] {
        let text = format!(
            "{{\"eventVersion\":\"1.08\",\"eventTime\":\"{time}\",\"eventSource\":\"s3.amazonaws.com\",{fields}}}"
        );
        assert_eq!(requests("a.json", time, &text).1, [expected], "{fields}");
    }
}

#[test]
fn gateways_and_proxies_write_json_of_many_shapes() {
    let time = "2025-01-01T10:20:30Z";
    for (schema, text, expected) in [
        // The console's example of API Gateway, and the fields of an HTTP API.
        (
            SchemaKind::ApiGateway,
            r#"{"requestId":"c6af9ac6-7b61-11e6-9a41-93e8deadbeef","ip":"203.0.113.7","caller":"-","user":"-","requestTime":"01/Jan/2025:10:20:30 +0000","httpMethod":"GET","resourcePath":"/pets/{petId}","status":"200","protocol":"HTTP/1.1","responseLength":"1270"}"#,
            "client_ip=203.0.113.7|method=GET|path=/pets/{petId}|status=200|response_bytes=1270",
        ),
        (
            SchemaKind::ApiGateway,
            r#"{"requestId":"x","ip":"203.0.113.7","caller":"AIDAEXAMPLE","requestTimeEpoch":1735726830000,"httpMethod":"POST","resourcePath":"/pets","path":"/prod/pets","status":"403","responseLength":"23","responseLatency":"12","userAgent":"okhttp/4.9","domainName":"API.example.com","errorResponseType":"ACCESS_DENIED"}"#,
            "user=AIDAEXAMPLE|client_ip=203.0.113.7|method=POST|host=api.example.com|path=/prod/pets|status=403|error_code=ACCESS_DENIED|response_bytes=23|latency_ms=12|user_agent=okhttp/4.9",
        ),
        (
            SchemaKind::ApiGateway,
            r#"{"requestId":"x","ip":"203.0.113.7","requestTime":"01/Jan/2025:10:20:30 +0000","routeKey":"GET /pets","status":"200","protocol":"HTTP/1.1","responseLength":"2"}"#,
            "client_ip=203.0.113.7|method=GET|path=/pets|status=200|response_bytes=2",
        ),
        (
            SchemaKind::Nginx,
            r#"{"time_local":"01/Jan/2025:10:20:30 +0000","remote_addr":"2001:DB8::1","remote_user":"ada","request":"GET /a?b=1 HTTP/1.1","status":"200","body_bytes_sent":"12","request_length":"300","request_time":"0.1","http_referer":"-","http_user_agent":"curl/8","http_host":"api.example.com"}"#,
            "user=ada|client_ip=2001:db8::1|method=GET|host=api.example.com|path=/a|query=b=1|status=200|request_bytes=300|response_bytes=12|latency_ms=100|user_agent=curl/8",
        ),
        (
            SchemaKind::Nginx,
            r#"{"msec":1735726830.000,"remote_addr":"192.0.2.9","request_method":"PUT","request_uri":"/v1/x%20y?z","status":204,"body_bytes_sent":0,"request_time":1.5}"#,
            "client_ip=192.0.2.9|method=PUT|path=/v1/x%20y|query=z|status=204|response_bytes=0|latency_ms=1500",
        ),
        // The names of Envoy's default format.
        (
            SchemaKind::Envoy,
            r#"{"start_time":"2025-01-01T10:20:30.000Z","method":"POST","path":"/api/v1/locations?x=1","protocol":"HTTP/2","response_code":204,"response_flags":"-","bytes_received":154,"bytes_sent":0,"duration":226,"x_forwarded_for":"10.0.35.28, 10.1.1.1","user_agent":"nsq2http","request_id":"cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2","authority":"locations","upstream_host":"tcp://10.0.2.1:80","downstream_remote_address":"10.0.35.28:4711"}"#,
            "client_ip=10.0.35.28|method=POST|host=locations|path=/api/v1/locations|query=x=1|status=204|request_bytes=154|response_bytes=0|latency_ms=226|user_agent=nsq2http",
        ),
        // Filebeat's nginx module; an application's own log, dotted.
        (
            SchemaKind::ApiEcs,
            r#"{"@timestamp":"2025-01-01T10:20:30.000Z","event":{"category":["web"],"kind":"event","type":["access"],"duration":1500000},"http":{"request":{"method":"get","referrer":"-"},"response":{"body":{"bytes":571},"status_code":404},"version":"1.1"},"source":{"address":"77.179.66.156","ip":"77.179.66.156"},"url":{"original":"/test1?a=b"},"user":{"name":"-"},"user_agent":{"original":"Mozilla/5.0"}}"#,
            "client_ip=77.179.66.156|method=GET|path=/test1|query=a=b|status=404|response_bytes=571|latency_ms=1.5|user_agent=Mozilla/5.0",
        ),
        (
            SchemaKind::ApiEcs,
            r#"{"@timestamp":"2025-01-01T10:20:30Z","ecs.version":"8.11.0","http.request.method":"POST","http.request.bytes":20,"http.response.status_code":201,"url.path":"/orders","url.query":"dry=1","url.domain":"shop.example","client.ip":"192.0.2.4","user.id":"u7","error.code":"E17"}"#,
            "user=u7|client_ip=192.0.2.4|method=POST|host=shop.example|path=/orders|query=dry=1|status=201|error_code=E17|request_bytes=20",
        ),
    ] {
        let found = requests("a.json", time, text);
        assert_eq!(found, (Some(schema), vec![expected.to_owned()]), "{text}");
    }
}

#[test]
fn both_classes_of_ocsf_are_read() {
    let time = "2025-01-01T10:20:30Z";
    for (text, expected) in [
        // API Activity, as Security Lake makes it of CloudTrail: equal to what that record itself is read as.
        (
            r#"{"class_uid":6003,"activity_id":2,"time":1735726830000,"api":{"operation":"ListBuckets","service":{"name":"s3.amazonaws.com"},"request":{"uid":"R1","data":"{\"x\":1}"},"response":{"error":"AccessDenied"}},"actor":{"user":{"uid":"arn:aws:iam::1:user/ada","name":"ada","credential_uid":"AKIAIOSFODNN7EXAMPLE"}},"src_endpoint":{"ip":"192.0.2.0"},"http_request":{"user_agent":"aws-cli"},"status_id":2}"#,
            format!(
                "user=arn:aws:iam::1:user/ada|session={}|client_ip=192.0.2.0|method=GET|host=s3.amazonaws.com|path=/ListBuckets|status=403|error_code=AccessDenied|user_agent=aws-cli|body={{\"x\":1}}",
                gleaner_udfs::sql::text::content_hash("AKIAIOSFODNN7EXAMPLE")
            ),
        ),
        (
            r#"{"class_uid":6003,"activity_id":1,"time":1735726830000,"api":{"operation":"CreateOrder","service":{"name":"orders"}},"actor":{"user":{"name":"ada"},"session":{"uid":"s1"}},"src_endpoint":{"ip":"192.0.2.0"},"status_id":1}"#,
            "user=ada|session=s1|client_ip=192.0.2.0|method=POST|host=orders|path=/CreateOrder|status=200".to_owned(),
        ),
        (
            r#"{"class_uid":4002,"activity_id":6,"time":1735726830000,"http_request":{"http_method":"POST","length":120,"referrer":"https://shop.example/","user_agent":"Mozilla/5.0","url":{"hostname":"api.shop.example","path":"/cart","query_string":"?x=1"},"http_headers":[{"name":"Accept","value":"*/*"}]},"http_response":{"code":201,"length":15,"latency":42},"src_endpoint":{"ip":"192.0.2.0"},"actor":{"user":{"name":"ada"}}}"#,
            r#"user=ada|client_ip=192.0.2.0|method=POST|host=api.shop.example|path=/cart|query=x=1|status=201|request_bytes=120|response_bytes=15|latency_ms=42|user_agent=Mozilla/5.0|referer=https://shop.example/|headers={"Accept":"*/*"}"#
                .to_owned(),
        ),
    ] {
        let found = requests("a.json", time, text);
        assert_eq!(found, (Some(SchemaKind::ApiOcsf), vec![expected]), "{text}");
    }
    let other =
        r#"{"class_uid":1007,"activity_id":1,"time":1735726830000,"process":{"cmd_line":"ls"}}"#;
    let seen = read_as("a.json", other.as_bytes(), &on(time));
    assert_eq!(seen.bad()[0].reason, "not_api_request");
    assert_eq!(seen.bad()[0].detail, "class_uid 1007");
}

#[test]
fn our_own_columns_are_read_under_many_names_in_json_and_csv() {
    let time = "2025-01-01T10:20:30Z";
    let own = r#"{"event_time":"2025-01-01T10:20:30Z","user":"ada","session":"s1","client_ip":"192.0.2.1","method":"POST","host":"api.example","path":"/a","query":"b=1","status":200,"error_code":"E","request_bytes":1,"response_bytes":2,"latency_ms":3.25,"user_agent":"curl","referer":"r","body":{"k":[1]},"headers":{"h":"v"}}"#;
    let aliases = r#"{"timestamp":1735726830,"user_id":"ada","session_id":"s1","src_ip":"192.0.2.1:443","http_method":"post","url":"https://api.example:443/a?b=1","status_code":"200","error":"E","request_size":"1","bytes":"2","duration":"3.25","agent":"curl","referrer":"r","request_body":"{\"k\":[1]}","request_headers":"{\"h\":\"v\"}"}"#;
    let csv = "event_time,user_id,session_id,client_ip,method,host,path,query,status,error_code,request_bytes,response_bytes,latency_ms,user_agent,referer,request_body,request_headers\n\
               2025-01-01 10:20:30,ada,s1,192.0.2.1,POST,api.example,/a,b=1,200.0,E,1,2,3.25,curl,r,\"{\"\"k\"\":[1]}\",\"{\"\"h\"\":\"\"v\"\"}\"\n";
    let expected = r#"user=ada|session=s1|client_ip=192.0.2.1|method=POST|host=api.example|path=/a|query=b=1|status=200|error_code=E|request_bytes=1|response_bytes=2|latency_ms=3.25|user_agent=curl|referer=r|body={"k":[1]}|headers={"h":"v"}"#;
    for (name, text) in [
        ("a.json", own),
        ("a.log", own),
        ("a.json", aliases),
        ("a.csv", csv),
    ] {
        let found = requests(name, time, text);
        assert_eq!(
            found,
            (Some(SchemaKind::Api), vec![expected.to_owned()]),
            "{text}"
        );
    }
    // What is missing stays null, and "-" is missing.
    let bare =
        r#"{"event_time":"2025-01-01T10:20:30Z","path":"/","user":"-","status":"","query":null}"#;
    assert_eq!(requests("a.json", time, bare).1, ["path=/"]);
}

#[test]
fn a_malformed_value_costs_its_request_under_its_reason() {
    let time = "2025-01-01T10:20:30Z";
    for (fields, reason) in [
        (r#""method":"GET""#, "missing_path"),
        (r#""path":"  ""#, "missing_path"),
        (r#""path":7"#, "wrong_type"),
        (r#""path":"/a\u0000""#, "nul_byte"),
        (r#""path":"/","body":"\u0000""#, "nul_byte"),
        (r#""path":"/","status":"OK""#, "bad_status"),
        (r#""path":"/","status":1000"#, "bad_status"),
        (r#""path":"/","status":-1"#, "bad_status"),
        (r#""path":"/","status":200.5"#, "bad_status"),
        (r#""path":"/","status":[200]"#, "bad_status"),
        (r#""path":"/","request_bytes":-5"#, "bad_size"),
        (r#""path":"/","response_bytes":"many""#, "bad_size"),
        (
            r#""path":"/","response_bytes":99999999999999999999"#,
            "bad_size",
        ),
        (r#""path":"/","latency_ms":-0.5"#, "bad_latency"),
        (r#""path":"/","latency_ms":"1e999""#, "bad_latency"),
        (r#""request":"no request at all""#, "bad_request_line"),
    ] {
        // The schema is recognised by the good line.
        let text = format!(
            "{{\"event_time\":\"{time}\",\"path\":\"/good\"}}\n{{\"event_time\":\"{time}\",{fields}}}\n"
        );
        let seen = read_as("a.json", text.as_bytes(), &on(time));
        assert_eq!(seen.reasons(), [format!("{reason}@1")], "{fields}");
        assert_eq!(seen.account.kept, 1, "{fields}");
    }
    // A bad value of another day is that day's.
    let text = r#"{"event_time":"2025-01-02T00:00:00Z","path":"/","status":"OK"}"#;
    let seen = read_as("a.json", text.as_bytes(), &on(time));
    assert_eq!((seen.account.other_day, seen.account.quarantined), (1, 0));
}

#[test]
fn the_recorded_requests_are_read_day_by_day_with_an_exact_account() {
    let name = "api_requests.parquet";
    let Some(path) = super::real::recorded(name) else {
        return;
    };
    let mut kept = 0;
    for day in super::real::days_of(name) {
        let options = ReadOptions::of(Kind::Api, day);
        let mut batches = Vec::new();
        let account = read_file(name, &path, &options, &mut |batch| {
            batches.push(batch);
            Ok(())
        });
        let account = account.unwrap();
        let seen = held_to_the_laws(Seen { account, batches }, &options);
        assert_eq!(account.rows_read, 49_031);
        assert_eq!(account.schema, Some(SchemaKind::Api));
        kept += account.kept;
        // Parameter values have no request around them, and no time; one scanner's request has no target.
        let mut lost = seen.bad();
        let undated = lost
            .extract_if(.., |bad| bad.reason == "missing_event_time")
            .count();
        assert_eq!(undated, 20_712, "{day}");
        let reasons: Vec<_> = lost.iter().map(|bad| bad.reason.as_str()).collect();
        let scanned = day == "2016-12-22".parse().unwrap();
        assert_eq!(reasons, vec!["missing_path"; usize::from(scanned)], "{day}");
    }
    assert_eq!(kept, 49_031 - 20_712 - 1);
}
