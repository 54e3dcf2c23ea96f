// A server on port 8000 that loads a part of the platform per view.
const http = require("http");

const views = {
  "/": () => "hello\n",
  "/digest": () => require("crypto").createHash("sha256").update("x").digest("hex"),
  "/compress": () => require("zlib").gzipSync("x").length.toString(),
  "/names": () => require("fs").readdirSync("/etc").join("\n"),
  "/child": () => require("child_process").execFileSync("/usr/bin/id", { encoding: "utf8" }),
};

const server = http.createServer((request, response) => {
  const view = views[request.url];
  response.writeHead(view ? 200 : 404);
  response.end(view ? view() : "");
});
process.on("SIGINT", () => process.exit(0));
server.listen(8000, "127.0.0.1");
