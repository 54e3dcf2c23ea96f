// A server for the study: GET / is its training, each other view a feature of its own.
const http = require("http");

const hash = (data) => require("crypto").createHash("sha256").update(data).digest("hex");
const views = {
  "/": () => "hello\n",
  "/crash": () => { throw new Error("on purpose"); },
  "/digests": () => {
    const crypto = require("crypto");
    return ["md5", "sha1", "sha512", "sha3-256", "blake2b512", "ripemd160"].map((name) => {
      try { return crypto.createHash(name).update("x").digest("hex"); } catch (error) { return error.code; }
    }).join(" ") + crypto.scryptSync("p", "s", 16).toString("hex") + crypto.pbkdf2Sync("p", "s", 2, 8, "sha1").toString("hex");
  },
  "/cipher": () => {
    const crypto = require("crypto");
    const cipher = crypto.createCipheriv("aes-256-gcm", Buffer.alloc(32), Buffer.alloc(12));
    return cipher.update("x", "utf8", "hex") + cipher.final("hex") + crypto.getCurves().length + crypto.getCiphers().length;
  },
  "/keys": () => {
    const { generateKeyPairSync, sign, verify } = require("crypto");
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return String(verify("sha256", Buffer.from("x"), publicKey, sign("sha256", Buffer.from("x"), privateKey)));
  },
  "/certificate": () => {
    const { X509Certificate } = require("crypto");
    return new X509Certificate(require("fs").readFileSync("/app/cert.pem")).subject;
  },
  "/roots": () => String(require("tls").rootCertificates.length > 100),
  "/tls": () => new Promise((done, failed) => {
    const fs = require("fs"), tls = require("tls");
    const cert = fs.readFileSync("/app/cert.pem");
    const server = tls.createServer({ cert, key: fs.readFileSync("/app/key.pem") }, (socket) => socket.end("over tls"));
    server.listen(0, "127.0.0.1", () => {
      const client = tls.connect({ port: server.address().port, host: "127.0.0.1", ca: cert, servername: "localhost" });
      client.on("data", (data) => { server.close(); done(data + client.getProtocol()); });
      client.on("error", failed);
    });
  }),
  "/compress": () => {
    const zlib = require("zlib");
    return [zlib.gzipSync("x".repeat(99)), zlib.brotliCompressSync("x".repeat(99)), zlib.deflateRawSync("x")].map((b) => b.length).join();
  },
  "/lookup": () => new Promise((done) => require("dns").lookup("localhost", { all: true }, (error, found) =>
    done(error ? error.code : found.map((each) => each.address).sort().join()))),
  "/resolve": () => new Promise((done) => require("dns").resolve4("nowhere.invalid", (error) => done(error ? "error" : "?"))),
  "/zone": () => new Date(Date.UTC(2024, 6, 1)).toLocaleString("en-GB", { timeZone: "Pacific/Chatham" }),
  "/locale": () => new Intl.NumberFormat("de-DE", { style: "currency", currency: "EUR" }).format(1234.5)
    + new Intl.DateTimeFormat("ja-JP", { dateStyle: "full", timeZone: "UTC" }).format(0)
    + ["ä", "z", "a"].sort(new Intl.Collator("sv").compare).join(""),
  "/text": () => "ﬁ".normalize("NFKC") + "I".toLocaleLowerCase("tr") + require("url").domainToASCII("bücher.example")
    + new TextDecoder("shift_jis").decode(Buffer.from([0x93, 0xfa])) + new TextDecoder("euc-kr").decode(Buffer.from([0xb0, 0xa1])),
  "/child": () => require("child_process").execFileSync(process.execPath, ["-e", "console.log(6 * 7)"], { encoding: "utf8" }),
  "/shell": () => require("child_process").execSync("printf %s $((6 * 7))", { encoding: "utf8" }),
  "/command": () => require("child_process").execFileSync("id", ["-u"], { encoding: "utf8" }),
  "/worker": () => new Promise((done, failed) => {
    const { Worker } = require("worker_threads");
    new Worker("require('worker_threads').parentPort.postMessage(42)", { eval: true }).on("message", (m) => done(String(m))).on("error", failed);
  }),
  "/module": () => import("node:path").then((path) => path.posix.join("a", "..", "b")),
  "/wasm": () => WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then((m) => String(WebAssembly.Module.exports(m).length)),
  "/files": () => {
    const fs = require("fs"), os = require("os"), path = require("path");
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "study-"));
    fs.writeFileSync(path.join(directory, "a"), "x");
    const found = fs.readdirSync(directory).join();
    fs.rmSync(directory, { recursive: true });
    return found;
  },
  "/stream": () => new Promise((done, failed) => require("stream").pipeline(
    require("fs").createReadStream("/app/server.js"), require("zlib").createGzip(), require("fs").createWriteStream("/tmp/study.gz"),
    (error) => (error ? failed(error) : done("piped")))),
  "/user": () => require("os").userInfo().username,
  "/fetch": () => typeof fetch === "function" ? fetch("http://127.0.0.1:8000/").then((answer) => answer.text()) : "none",
  "/http2": () => new Promise((done, failed) => {
    const http2 = require("http2");
    const server = http2.createServer((request, response) => response.end("two"));
    server.listen(0, "127.0.0.1", () => {
      const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
      const request = client.request({ ":path": "/" });
      let said = "";
      request.on("data", (data) => { said += data; });
      request.on("end", () => { client.close(); server.close(); done(said); });
      request.on("error", failed);
    });
  }),
  "/inspect": () => require("util").inspect({ a: [1, { b: new Map([[1, 2]]) }] }, { depth: 5 }) + require("util").format("%s", Symbol("x")),
  "/assert": () => { try { require("assert").deepStrictEqual({ a: 1 }, { a: 2 }); return "?"; } catch (error) { return error.code; } },
  "/vm": () => String(require("vm").runInNewContext("a + 1", { a: 41 })),
  "/events": () => require("readline") && require("querystring").stringify({ a: ["b", "c"] }) + require("string_decoder").StringDecoder.name,
  "/perf": () => String(require("perf_hooks").performance.now() > 0) + String(require("v8").getHeapStatistics().total_heap_size > 0),
  "/udp": () => new Promise((done) => {
    const socket = require("dgram").createSocket("udp4");
    socket.bind(0, "127.0.0.1", () => { const { port } = socket.address(); socket.close(); done(String(port > 0)); });
  }),
};

const server = http.createServer(async (request, response) => {
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => response.end(hash(Buffer.concat(parts))));
    return;
  }
  try {
    const view = views[request.url];
    const body = view ? await view() : "none";
    response.writeHead(view ? 200 : 404);
    response.end(body);
  } catch (error) {
    response.writeHead(500);
    response.end(String(error.message));
  }
});
process.on("SIGINT", () => process.exit(0));
server.listen(8000, "127.0.0.1");
