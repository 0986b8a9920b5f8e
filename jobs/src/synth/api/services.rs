//! The services whose traffic is made: endpoints, and in which order people and programs call them.

/// An endpoint. In `path`, `query` and `body`, `{product}`, `{order}`, `{ticket}` and `{page}` are numbers, `{uuid}` is one, `{user}` is
/// the caller's name, `{word}` a word, `{time}` the time of the call.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: &'static str,
    pub(super) body: &'static str,
    /// The operation's name.
    pub(super) name: &'static str,
    /// Medians: bytes of the request beyond its body, bytes of the response, milliseconds.
    pub(super) request_bytes: u32,
    pub(super) response_bytes: u32,
    pub(super) latency_ms: u32,
    /// Status of success, and of the usual failure with its share in a thousand.
    pub(super) status: u16,
    pub(super) failure: u16,
    pub(super) failures_permille: u16,
}

const API: &str = "api.shop.example";
const AUTH: &str = "auth.shop.example";
const PAY: &str = "pay.shop.example";
const FILES: &str = "files.shop.example";
const PARTNER: &str = "partner.shop.example";
const ADMIN: &str = "admin.shop.example";

/// Host, method, path, query, body, name; bytes in, bytes out, milliseconds; success, failure, failures in a thousand.
macro_rules! endpoints {
    ($(($host:expr, $method:literal, $path:literal, $query:literal, $body:literal, $name:literal,
        $in:literal, $out:literal, $ms:literal, $ok:literal, $bad:literal, $permille:literal)),+ $(,)?) => {
        &[$(Endpoint {
            host: $host, method: $method, path: $path, query: $query, body: $body, name: $name,
            request_bytes: $in, response_bytes: $out, latency_ms: $ms,
            status: $ok, failure: $bad, failures_permille: $permille,
        }),+]
    };
}

/// All endpoints; the constants below are places in it.
#[rustfmt::skip]
pub(super) const ENDPOINTS: &[Endpoint] = endpoints![
    (AUTH, "POST", "/oauth/token", "", r#"{"grant_type":"password","username":"{user}"}"#, "IssueToken", 310, 940, 85, 200, 401, 30),
    (AUTH, "POST", "/oauth/refresh", "", r#"{"grant_type":"refresh_token"}"#, "RefreshToken", 290, 930, 40, 200, 401, 12),
    (API, "GET", "/v2/products", "page={page}&limit=20", "", "ListProducts", 420, 18_000, 60, 200, 500, 1),
    (API, "GET", "/v2/products/{product}", "", "", "GetProduct", 400, 3_200, 24, 200, 404, 8),
    (API, "GET", "/v2/search", "q={word}&sort=price", "", "SearchProducts", 430, 12_500, 140, 200, 504, 3),
    (API, "GET", "/v2/products/{product}/reviews", "", "", "ListReviews", 410, 7_400, 45, 200, 404, 8),
    (API, "GET", "/v2/cart", "", "", "GetCart", 390, 1_100, 20, 200, 401, 9),
    (API, "POST", "/v2/cart/items", "", r#"{"product":{product},"quantity":1}"#, "AddCartItem", 440, 1_250, 35, 201, 409, 10),
    (API, "DELETE", "/v2/cart/items/{product}", "", "", "RemoveCartItem", 400, 60, 28, 204, 404, 6),
    (API, "POST", "/v2/orders", "", r#"{"cart":"{uuid}","express":false}"#, "CreateOrder", 520, 1_800, 190, 201, 409, 12),
    (API, "GET", "/v2/orders", "page={page}", "", "ListOrders", 400, 5_200, 70, 200, 401, 6),
    (API, "GET", "/v2/orders/{order}", "", "", "GetOrder", 400, 2_100, 30, 200, 404, 4),
    (PAY, "POST", "/v1/payments", "", r#"{"order":{order},"method":"card"}"#, "CreatePayment", 610, 700, 420, 201, 402, 35),
    (PAY, "GET", "/v1/payments/{uuid}", "", "", "GetPayment", 400, 690, 38, 200, 404, 3),
    (API, "GET", "/v2/users/{user}/profile", "", "", "GetProfile", 400, 1_400, 26, 200, 401, 7),
    (API, "PATCH", "/v2/users/{user}/profile", "", r#"{"newsletter":false}"#, "UpdateProfile", 480, 1_400, 60, 200, 422, 20),
    (FILES, "GET", "/v1/files", "page={page}", "", "ListFiles", 400, 6_300, 55, 200, 401, 5),
    (FILES, "GET", "/v1/files/{uuid}", "", "", "GetFile", 400, 800, 22, 200, 404, 6),
    (FILES, "PUT", "/v1/files/{uuid}", "", "", "PutFile", 260_000, 240, 310, 201, 413, 7),
    (FILES, "GET", "/v1/files/{uuid}/content", "", "", "GetFileContent", 410, 240_000, 260, 200, 404, 5),
    (PARTNER, "GET", "/v1/inventory", "since={time}", "", "ListInventory", 350, 42_000, 120, 200, 429, 9),
    (PARTNER, "PUT", "/v1/inventory/{product}", "", r#"{"stock":{page}}"#, "SetInventory", 380, 90, 32, 204, 409, 5),
    (PARTNER, "POST", "/v1/shipments", "", r#"{"order":{order},"carrier":"pp"}"#, "CreateShipment", 560, 450, 90, 201, 400, 6),
    (ADMIN, "GET", "/v1/tickets", "status=open&page={page}", "", "ListTickets", 420, 9_800, 75, 200, 403, 2),
    (ADMIN, "GET", "/v1/tickets/{ticket}", "", "", "GetTicket", 400, 4_100, 34, 200, 404, 4),
    (ADMIN, "POST", "/v1/tickets/{ticket}/replies", "", r#"{"text":"answered","close":true}"#, "ReplyToTicket", 900, 600, 65, 201, 422, 6),
    (ADMIN, "GET", "/v1/users", "email={word}%40mail.example", "", "FindUsers", 420, 2_200, 95, 200, 403, 3),
    (ADMIN, "GET", "/v1/users/{order}/export", "", "", "ExportUser", 420, 88_000, 480, 200, 403, 3),
];

pub(super) const TOKEN: usize = 0;
const REFRESH: usize = 1;
pub(super) const PRODUCTS: usize = 2;
pub(super) const PRODUCT: usize = 3;
pub(super) const SEARCH: usize = 4;
const REVIEWS: usize = 5;
const CART: usize = 6;
const ADD: usize = 7;
const REMOVE: usize = 8;
const ORDER_NEW: usize = 9;
const ORDERS: usize = 10;
pub(super) const ORDER: usize = 11;
pub(super) const PAY_NEW: usize = 12;
const PAYMENT: usize = 13;
const PROFILE: usize = 14;
const PROFILE_SET: usize = 15;
pub(super) const FILE_LIST: usize = 16;
const FILE: usize = 17;
const FILE_PUT: usize = 18;
pub(super) const CONTENT: usize = 19;
const STOCK: usize = 20;
const STOCK_SET: usize = 21;
const SHIP: usize = 22;
const TICKETS: usize = 23;
const TICKET: usize = 24;
const REPLY: usize = 25;
const FIND: usize = 26;
/// An endpoint that nobody calls on an ordinary day.
pub(super) const EXPORT: usize = 27;

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Shops in a browser or an app.
    Customer,
    /// Keeps files.
    Author,
    /// Answers tickets, in office hours.
    Staff,
    /// A program of another firm, day and night.
    Partner,
}

impl Role {
    /// Share of users in a thousand, requests of a session (median), seconds between two (median).
    pub(super) const ALL: [(Self, u64, u32, f64); 4] = [
        (Self::Customer, 760, 11, 14.0),
        (Self::Author, 120, 16, 9.0),
        (Self::Staff, 80, 26, 40.0),
        (Self::Partner, 40, 45, 4.0),
    ];

    /// The endpoints that may follow one, with weights.
    pub(super) const fn after(self, endpoint: usize) -> &'static [(usize, u64)] {
        match self {
            Self::Customer => customer(endpoint),
            Self::Author => match endpoint {
                TOKEN => &[(FILE_LIST, 1)],
                FILE_LIST => &[(FILE, 6), (FILE_PUT, 3), (FILE_LIST, 1)],
                FILE => &[(CONTENT, 7), (FILE, 2), (FILE_LIST, 1)],
                FILE_PUT => &[(FILE, 5), (FILE_PUT, 4), (FILE_LIST, 1)],
                CONTENT => &[(FILE, 5), (FILE_LIST, 4), (REFRESH, 1)],
                _ => &[(FILE_LIST, 3), (PROFILE, 1)],
            },
            Self::Staff => match endpoint {
                TOKEN | REFRESH => &[(TICKETS, 1)],
                TICKETS => &[(TICKET, 9), (TICKETS, 1)],
                TICKET => &[(REPLY, 6), (FIND, 3), (TICKETS, 2)],
                FIND => &[(TICKET, 2), (REPLY, 3)],
                _ => &[(TICKETS, 6), (TICKET, 3), (REFRESH, 1)],
            },
            Self::Partner => match endpoint {
                TOKEN => &[(STOCK, 1)],
                STOCK => &[(STOCK_SET, 8), (SHIP, 2)],
                STOCK_SET => &[(STOCK_SET, 7), (STOCK, 2), (SHIP, 1)],
                _ => &[(STOCK_SET, 3), (SHIP, 3), (STOCK, 2)],
            },
        }
    }
}

const fn customer(endpoint: usize) -> &'static [(usize, u64)] {
    match endpoint {
        TOKEN | REFRESH => &[(PRODUCTS, 5), (CART, 2), (PROFILE, 2), (ORDERS, 2)],
        PRODUCTS => &[(PRODUCT, 6), (PRODUCTS, 3), (SEARCH, 2)],
        SEARCH => &[(PRODUCT, 7), (SEARCH, 2), (PRODUCTS, 1)],
        PRODUCT => &[(REVIEWS, 4), (ADD, 3), (PRODUCTS, 3), (PRODUCT, 2)],
        REVIEWS => &[(ADD, 3), (PRODUCT, 3), (SEARCH, 2)],
        ADD => &[(CART, 6), (PRODUCTS, 3)],
        CART => &[(ORDER_NEW, 3), (REMOVE, 1), (PRODUCTS, 4)],
        REMOVE => &[(CART, 3), (PRODUCTS, 1)],
        ORDER_NEW => &[(PAY_NEW, 1)],
        PAY_NEW => &[(PAYMENT, 3), (ORDER, 2)],
        PAYMENT => &[(ORDER, 3), (ORDERS, 1)],
        ORDERS => &[(ORDER, 6), (PRODUCTS, 1)],
        ORDER => &[(ORDERS, 2), (PRODUCTS, 2), (REFRESH, 1)],
        PROFILE => &[(PROFILE_SET, 2), (ORDERS, 3), (PRODUCTS, 2)],
        _ => &[(PRODUCTS, 3), (PROFILE, 1)],
    }
}
