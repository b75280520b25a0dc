// Node.js: a static server as many write it, routers on `new URL` and `url.parse`,
// and Express. Arguments: the folder with the files, the folder with the packages.
const { createServer } = require("node:http");
const { readFile } = require("node:fs");
const { join, normalize } = require("node:path");
const url = require("node:url");

const [root, packages] = process.argv.slice(2);
const secret = process.env.SECRET;
const waiting = [];

function serve(name, handler, version = process.version) {
  waiting.push(new Promise((resolve) => {
    const server = createServer(handler);
    server.keepAliveTimeout = 60000;
    server.listen(0, "127.0.0.1", () => {
      console.log(`listening|${name}|127.0.0.1:${server.address().port}|${version}`);
      resolve();
    });
  }));
}

function answer(response, status, text) {
  response.writeHead(status, { "content-length": Buffer.byteLength(text) });
  response.end(text);
}

const isGuarded = (path) => /^\/(api\/)?admin(\/|$)/.test(path);

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

serve("Node.js static", (request, response) => {
  let path;
  try {
    path = decodeURIComponent(request.url.split("?")[0]);
  } catch {
    return answer(response, 400, "");
  }
  const file = join(root, normalize(path));
  if (path.includes("\0") || !file.startsWith(root)) return answer(response, 403, "");
  readFile(file.endsWith("/") ? join(file, "index.html") : file, (error, content) =>
    answer(response, error ? 404 : 200, error ? "" : content));
});

serve("Node.js new URL", (request, response) => {
  let path;
  try {
    path = new URL(request.url, "http://localhost").pathname;
  } catch {
    return answer(response, 400, "");
  }
  answer(response, 200, isGuarded(path) || isGuarded(decoded(path)) ? secret : "public");
});

serve("Node.js url.parse", (request, response) => {
  let path;
  try {
    path = url.parse(request.url, false, true).pathname ?? "";
  } catch {
    return answer(response, 400, "");
  }
  answer(response, 200, isGuarded(path) || isGuarded(decoded(path)) ? secret : "public");
});

let express;
try {
  express = require(join(packages, "node_modules", "express"));
} catch {
  console.log("missing|Express");
}
if (express) {
  const version = require(join(packages, "node_modules", "express", "package.json")).version;
  const files = express();
  files.use(express.static(root));
  serve("Express static", files, version);

  const routes = express();
  const guarded = (request, response) => response.send(secret);
  routes.use("/admin", guarded);
  routes.get("/api/admin", guarded);
  routes.get("/api/admin/*rest", guarded);
  routes.use((request, response) => response.send("public"));
  serve("Express routes", routes, version);
}
Promise.all(waiting).then(() => console.log("ready"));
