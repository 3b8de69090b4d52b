/* Invalid orders: mistakes of clients, and attacks. */

export const line = { productId: "PRODUCT_001", quantity: 1 };
const manyLines = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ productId: `P_${index}`, quantity: 1 }));

const quantities: readonly unknown[] = [
  0,
  -1,
  -0.5,
  1.5,
  10_001,
  1e21,
  1e308,
  Number.MAX_SAFE_INTEGER,
  "3",
  "",
  null,
  true,
  [],
  {},
  [1],
];
/** Values that are not identifiers. */
export const strangeIds: readonly unknown[] = [
  "",
  " ",
  "ö",
  "订单",
  "👍",
  "a b",
  "a/b",
  "../../etc/passwd",
  "a.b",
  "a\u0000b",
  "a\nb",
  "a%20b",
  "'; DROP TABLE orders; --",
  "<script>",
  "x".repeat(65),
  "ORDER_001 ",
  1,
  null,
  true,
  {},
  ["ORDER_001"],
];

/** Bodies that are JSON, and their invalid fields. */
export const invalid: readonly (readonly [string, unknown, readonly string[]])[] = [
  ...quantities.map((quantity) =>
    one("quantity", { items: [{ ...line, quantity }] }, quantity, "/items/0/quantity"),
  ),
  ...strangeIds.map((id) =>
    one("productId", { items: [{ ...line, productId: id }] }, id, "/items/0/productId"),
  ),
  ...strangeIds.map((id) => one("orderId", { orderId: id, items: [line] }, id, "/orderId")),
  ["no items", {}, ["/items"]],
  ["items that are no list", { items: { 0: line } }, ["/items"]],
  ["items that are null", { items: null }, ["/items"]],
  ["an empty list", { items: [] }, ["/items"]],
  ["a list of 101", { items: manyLines(101) }, ["/items"]],
  ["a line that is a text", { items: ["PRODUCT_001"] }, ["/items/0"]],
  ["a line that is null", { items: [line, null] }, ["/items/1"]],
  ["a line without fields", { items: [{}] }, ["/items/0/productId", "/items/0/quantity"]],
  ["an unknown field", { items: [line], coupon: "FREE" }, ["/coupon"]],
  ["a price", { items: [{ ...line, unitPrice: { amount: 1, currency: "EUR" } }] }, ["/items/0/unitPrice"]],
  ["another customer's id", { customerId: "CUSTOMER_002", items: [line] }, ["/customerId"]],
  ["a status", { status: "confirmed", items: [line] }, ["/status"]],
  [
    "a prototype",
    JSON.parse('{"items":[{"productId":"PRODUCT_001","quantity":1}],"__proto__":{"a":1}}'),
    ["/__proto__"],
  ],
  [
    "an id that is an object with toString",
    { items: [{ ...line, productId: { toString: 1 } }] },
    ["/items/0/productId/toString"],
  ],
  ["an unknown product", { items: [{ productId: "NO_SUCH_PRODUCT", quantity: 1 }] }, ["/items/0/productId"]],
  ["unknown products", { items: [...manyLines(2), line] }, ["/items/0/productId", "/items/1/productId"]],
  [
    "a hundred unknown products",
    { items: manyLines(100) },
    manyLines(100).map((_, i) => `/items/${i}/productId`),
  ],
  ["a product id in lower case", { items: [{ ...line, productId: "product_001" }] }, ["/items/0/productId"]],
  ["a product twice", { items: [line, { ...line, quantity: 2 }] }, ["/items/1/productId"]],
  [
    "errors in every field",
    {
      orderId: "a/b",
      coupon: 1,
      items: [{ productId: "ö", quantity: 0, note: "" }, line, { productId: "PRODUCT_002" }],
    },
    ["/coupon", "/items/0/note", "/items/0/productId", "/items/0/quantity", "/items/2/quantity", "/orderId"],
  ],
  ["a list", [line], [""]],
  ["null", null, [""]],
  ["a number", 42, [""]],
  ["a text", "order", [""]],
];

/** Bodies that are not JSON. */
export const malformed: readonly (readonly [string, BodyInit])[] = [
  ["an open brace", "{"],
  ["spaces", "   "],
  ["words", "two cups, please"],
  ["single quotes", "{'items':[]}"],
  ["a trailing comma", '{"items":[],}'],
  ["two values", "{}{}"],
  ["NaN", '{"items":[{"productId":"PRODUCT_001","quantity":NaN}]}'],
  ["a comment", '/* */{"items":[]}'],
  ["bytes that are no UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
  ["UTF-16", new Uint8Array([...Buffer.from('\ufeff{"items":[]}', "utf16le")])],
  ["a hundred thousand brackets", `{"items":${"[".repeat(30_000)}${"]".repeat(30_000)}}`],
];

export const json = "application/json";
const order = JSON.stringify({ items: [line] });
const long = JSON.stringify({ items: [line], note: "x".repeat(64 * 1024) });

/** Requests with invalid headers, or with a body that is too long. */
export const refused: readonly (readonly [string, number, RequestInit])[] = [
  ["no content type", 415, { body: new Blob([order]) }],
  ...[
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "json",
    "application/json; charset=iso-8859-1",
    "application/jsonx",
  ].map((type): [string, number, RequestInit] => [
    type,
    415,
    { body: order, headers: { "content-type": type } },
  ]),
  ["gzip", 415, { body: Bun.gzipSync(order), headers: { "content-type": json, "content-encoding": "gzip" } }],
  ["over 64 KiB", 413, { body: long, headers: { "content-type": json } }],
  ["over 64 KiB in chunks", 413, { body: new Blob([long]).stream(), headers: { "content-type": json } }],
  ["over 64 KiB of text", 413, { body: "x".repeat(1024 * 1024), headers: { "content-type": "text/plain" } }],
  ["an empty body", 422, { body: "", headers: { "content-type": json } }],
  ["no body", 422, { headers: { "content-type": json } }],
  [
    "an Idempotency-Key with a space",
    400,
    { body: order, headers: { "content-type": json, "idempotency-key": "a b" } },
  ],
  [
    "an Idempotency-Key of 256 characters",
    400,
    { body: order, headers: { "content-type": json, "idempotency-key": "k".repeat(256) } },
  ],
];

function one(field: string, body: unknown, value: unknown, path: string): [string, unknown, string[]] {
  return [`${field} ${JSON.stringify(value).slice(0, 40)}`, body, [path]];
}
